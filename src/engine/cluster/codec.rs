//! How the plan nodes that only we have go over the wire, beside those of DataFusion and Ballista.
//!
//! A node is the mark, then a protobuf message. What comes in is somebody else's: a table function is made only over an input and
//! for an output that its own planning would have made.

use super::places;
use crate::engine::function::exec::FunctionExec;
use crate::engine::function::hosts::Hosts;
use crate::engine::optimizer::plain::Plain;
use crate::engine::optimizer::skip::Hidden;
use crate::engine::setup;
use crate::model::Config;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DFSchema, DataFusionError, Result, plan_datafusion_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::from_proto::parse_physical_sort_exprs;
use datafusion_proto::physical_plan::to_proto::serialize_physical_sort_exprs;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::{PhysicalSortExprNode, Schema as SchemaMessage};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the bytes of our nodes begin with. A message of Ballista begins with the number of one of its fields.
const MARK: &[u8] = b"\xffioriot1";

/// A node of ours.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Function(Call),
    #[prost(message, tag = "2")]
    Skip(Skip),
    #[prost(bool, tag = "3")]
    Plain(bool),
}

/// A [`FunctionExec`].
#[derive(Clone, PartialEq, Message)]
struct Call {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaMessage>,
    /// The configurations of the model, if the function runs it ([`places`]).
    #[prost(message, repeated, tag = "3")]
    places: Vec<Place>,
    /// Has each host a state of its own?
    #[prost(bool, tag = "4")]
    apart: bool,
}

/// The configuration of the model for a host; without a name where there is one for all.
#[derive(Clone, PartialEq, Message)]
struct Place {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(bytes = "vec", tag = "2")]
    config: Vec<u8>,
}

/// A [`Hidden`] limit.
#[derive(Clone, PartialEq, Message)]
struct Skip {
    #[prost(uint64, tag = "1")]
    skip: u64,
    #[prost(uint64, optional, tag = "2")]
    fetch: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    order: Vec<PhysicalSortExprNode>,
}

/// The codec of Ballista, and of our nodes.
#[derive(Debug, Default)]
pub struct Codec(BallistaPhysicalExtensionCodec);

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ours) = bytes.strip_prefix(MARK) else {
            return self.0.try_decode(bytes, inputs, context, converter);
        };
        let node = Node::decode(ours).map_err(|error| plan_datafusion_err!("a node of the plan cannot be read: {error}"))?;
        let [input] = inputs else { return plan_err!("a node of the plan has {} inputs, and takes one", inputs.len()) };
        let input = Arc::clone(input);
        match node.kind {
            Some(Kind::Function(call)) => Ok(Arc::new(function(call, input)?)),
            Some(Kind::Plain(_)) => Ok(Arc::new(Plain::new(input))),
            Some(Kind::Skip(limit)) => {
                let context = PhysicalPlanDecodeContext::new(context, self);
                let order = parse_physical_sort_exprs(&limit.order, &context, &input.schema(), converter)?;
                let number = |number: u64| usize::try_from(number).map_err(|error| DataFusionError::External(error.into()));
                let (skip, fetch) = (number(limit.skip)?, limit.fetch.map(number).transpose()?);
                Ok(Arc::new(Hidden::of(input, skip, fetch, LexOrdering::new(order))))
            }
            None => plan_err!("a node of the plan is of a kind that this version of ioriot does not know"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let kind = if let Some(exec) = node.downcast_ref::<FunctionExec>() {
            let schema = Some(SchemaMessage::try_from(exec.schema().as_ref())?);
            let place = |(host, config): (&str, &Config)| {
                let config = places::write(config).map_err(|error| DataFusionError::External(error.into()))?;
                Ok(Place { host: host.to_owned(), config })
            };
            let all: Vec<(&str, &Config)> = match exec.hosts() {
                _ if !exec.function().models() => Vec::new(),
                Hosts::One(config) => vec![("", config)],
                Hosts::Each(all) => all.iter().map(|(host, config)| (host.as_str(), config)).collect(),
            };
            let places = all.into_iter().map(place).collect::<Result<_>>()?;
            let apart = matches!(exec.hosts(), Hosts::Each(_));
            Kind::Function(Call { name: exec.function().name().into(), schema, places, apart })
        } else if node.is::<Plain>() {
            Kind::Plain(true)
        } else if let Some(limit) = node.downcast_ref::<Hidden>() {
            let order = limit.order.iter().flatten().cloned();
            let order = serialize_physical_sort_exprs(order, self, converter)?;
            Kind::Skip(Skip { skip: limit.skip as u64, fetch: limit.fetch.map(|fetch| fetch as u64), order })
        } else {
            return self.0.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(MARK);
        Node { kind: Some(kind) }.encode(bytes).map_err(|error| DataFusionError::External(error.into()))
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.0.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udf(function, bytes)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.0.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udaf(function, bytes)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.0.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, bytes: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udwf(function, bytes)
    }
}

/// The node of a table function, if it is one that planning could have made: a function trusts the types of its columns.
fn function(call: Call, input: Arc<dyn ExecutionPlan>) -> Result<FunctionExec> {
    let place = |place: &Place| {
        let config = places::read(&place.config);
        let config = config.map_err(|error| DataFusionError::External(error.context("the configuration of the model").into()))?;
        Ok((place.host.clone(), config))
    };
    let places: BTreeMap<String, Config> = call.places.iter().map(place).collect::<Result<_>>()?;
    let hosts = match call.apart {
        true => Hosts::Each(places),
        false => Hosts::One(places.into_values().next().unwrap_or_default()),
    };
    let known = setup::functions().into_iter().find(|function| function.name() == call.name);
    let Some(function) = known else { return plan_err!("there is no table function {:?}", call.name) };
    let Some(schema) = call.schema else { return plan_err!("{} has no output", call.name) };
    let schema = Arc::new(Schema::try_from(&schema)?);
    let taken = input.schema();
    if let Some(field) =
        taken.fields().iter().find(|field| hosts.takes(function.as_ref(), field, &schema).as_ref() != Some(field.data_type()))
    {
        return plan_err!("{} takes no column {} {}", call.name, field.name(), field.data_type());
    }
    let made = hosts.output(function.as_ref(), &DFSchema::try_from(taken.as_ref().clone())?)?;
    let alike = |name: &str| made.field_with_name(name).ok().map(|field| field.data_type());
    if let Some(field) = schema.fields().iter().find(|field| alike(field.name()) != Some(field.data_type())) {
        return plan_err!("{} makes no column {} {}", call.name, field.name(), field.data_type());
    }
    FunctionExec::new(input, schema, function, Arc::new(hosts))
}
