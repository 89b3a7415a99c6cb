//! Stores that SQL may name itself (`--allow-files`): `FROM 's3://bucket/file.parquet'`.

use crate::store;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// The local file system, and stores with the credentials of the environment.
#[derive(Debug, Default)]
pub(super) struct Stores(DefaultObjectStoreRegistry);

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.0.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if store::is(Path::new(url.as_str())) {
            return store::of_url(url).map_err(|error| DataFusionError::External(error.into()));
        }
        self.0.get_store(url)
    }
}
