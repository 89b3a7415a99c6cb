//! What an executor serves: rows that wait in the directories of its jobs, to other executors and to clients.
//!
//! Ballista's service joins the name of a job, as a request has it, to the path of its directory: `/etc` or `..` would lead elsewhere
//! (Ballista 55.0). So a request is looked at before it gets there, and only its two calls are answered.

use super::check::is_job;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, PollInfo,
    PutResult, SchemaResult, Ticket,
};
use ballista_core::serde::protobuf;
use ballista_executor::flight_service::BallistaFlightService;
use futures::stream::BoxStream;
use prost::Message;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// Ballista's service behind a look at what is asked for.
pub struct Rows(pub BallistaFlightService);

type Answer<T> = Result<Response<T>, Status>;
type Parts<T> = BoxStream<'static, Result<T, Status>>;

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("an executor of ioriot does not do that"))
}

/// Does this ask for rows of a job, and nothing else?
fn look(action: &[u8]) -> Result<(), Status> {
    use protobuf::action::ActionType::FetchPartition;
    let action = protobuf::Action::decode(action).ok().and_then(|action| action.action_type);
    match action {
        Some(FetchPartition(part)) if is_job(&part.job_id) => Ok(()),
        _ => Err(Status::permission_denied("that asks for no rows of a query")),
    }
}

#[async_trait]
impl FlightService for Rows {
    type DoActionStream = Parts<arrow_flight::Result>;
    type DoExchangeStream = Parts<FlightData>;
    type DoGetStream = Parts<FlightData>;
    type DoPutStream = Parts<PutResult>;
    type HandshakeStream = Parts<HandshakeResponse>;
    type ListActionsStream = Parts<ActionType>;
    type ListFlightsStream = Parts<FlightInfo>;

    async fn do_get(&self, request: Request<Ticket>) -> Answer<Self::DoGetStream> {
        look(&request.get_ref().ticket)?;
        self.0.do_get(request).await
    }

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        look(&request.get_ref().body)?;
        self.0.do_action(request).await
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        never()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        never()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        never()
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        never()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        never()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        never()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        never()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_leads_to_the_directory_of_a_job_and_nowhere_else() {
        let ticket = |job: &str| {
            let part = protobuf::FetchPartition { job_id: job.into(), ..Default::default() };
            let action = protobuf::action::ActionType::FetchPartition(part);
            protobuf::Action { action_type: Some(action), settings: Vec::new() }.encode_to_vec()
        };
        look(&ticket("0A1B2-c_d")).unwrap();
        for job in ["", "/etc", "..", "../..", "a/b", "a\0b", ".", "job\n", &"a".repeat(65)] {
            look(&ticket(job)).unwrap_err();
        }
        look(b"").unwrap_err();
        look(b"\xff\xff").unwrap_err();
    }
}
