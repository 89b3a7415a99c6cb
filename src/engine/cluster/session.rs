//! The sessions of a scheduler and of an executor: options, functions, and a runtime that can open nothing.

use super::codec::Codec;
use super::link::{Link, MESSAGE};
use crate::engine::function::hosts::Hosts;
use crate::engine::function::sum;
use crate::engine::setup;
use anyhow::Result;
use ballista_core::extension::SessionConfigExt;
use datafusion::common::Result as PlanResult;
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::memory::InMemory;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// Options that decide how a plan is cut into stages, and what goes between them.
///
/// # Errors
/// When the engine does not know one of them.
pub fn config(memory: u64, link: &Link) -> Result<SessionConfig> {
    let config = setup::config(setup::processors(), memory)?.upgrade_for_ballista();
    // Plans come as physical ones, which the adaptive planner does not take; it hangs when an executor is lost (Ballista 55.0).
    Ok(config
        .with_ballista_adaptive_query_planner(false)
        .with_ballista_grpc_client_max_message_size(MESSAGE)
        .with_ballista_physical_extension_codec(Arc::new(Codec::default()))
        .with_ballista_override_create_grpc_client_endpoint(link.endpoints()))
}

/// A runtime with bounded memory, in which no plan finds a store: neither the files of this machine nor those of others. What an
/// executor reads it opens itself ([`super::scan`]).
///
/// # Errors
/// When it has too little memory.
pub fn runtime(memory: u64, spill: Option<PathBuf>) -> Result<Arc<RuntimeEnv>> {
    let nowhere = Nowhere(Arc::new(InMemory::new()));
    Ok(setup::runtime(memory, spill)?.with_object_store_registry(Arc::new(nowhere)).build_arc()?)
}

/// A session with all our functions.
pub fn context(config: SessionConfig, env: Arc<RuntimeEnv>) -> SessionContext {
    let context = setup::context(config, env, Hosts::default());
    // A plan names its functions, and what it calls sum is the one that checks.
    context.register_udaf(sum::checked_sum());
    context
}

/// Its state.
pub fn state(config: SessionConfig, env: Arc<RuntimeEnv>) -> SessionState {
    context(config, env).state()
}

/// Every store is the same empty one.
#[derive(Debug)]
struct Nowhere(Arc<InMemory>);

impl ObjectStoreRegistry for Nowhere {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, _: &Url) -> PlanResult<Arc<dyn ObjectStore>> {
        Ok(Arc::clone(&self.0) as Arc<dyn ObjectStore>)
    }
}
