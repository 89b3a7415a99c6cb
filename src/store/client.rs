//! Clients of stores, one for each bucket or server, and the threads on which they wait.

use super::credentials;
use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::http::HttpBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, RetryConfig, UpdateVersion};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use url::Url;

/// So long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// So long no byte may come before a store counts as away.
const STALL: Duration = Duration::from_secs(10);
/// Bytes in a second that a store sends at least, once [`STALL`] is over: one that keeps a request alive with a byte now and then is
/// away, too.
const SLOWEST: u64 = 1 << 10;
/// So long a part of a file may take to be sent.
const SENT: Duration = Duration::from_secs(120);
/// A request that failed is repeated so often, and not later than this after the first try.
const RETRIES: usize = 3;
const RETRY: Duration = Duration::from_secs(8);

/// Kind of a store, by the scheme of its URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    S3,
    Google,
    Azure,
    Http,
}

/// A place in a store: its client, and the key of an object or the prefix of several.
#[derive(Clone)]
pub(super) struct At {
    pub store: Arc<dyn ObjectStore>,
    /// For uploads in parts; `None` for what is read only.
    pub parts: Option<Arc<dyn MultipartStore>>,
    pub key: Key,
    pub scheme: Scheme,
    /// The URL, for messages.
    pub url: String,
}

/// Bytes of an object.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub bytes: Bytes,
    /// Size of the whole object, bytes.
    pub size: u64,
    pub version: Version,
}

/// What a store calls one version of an object (on S3 the entity tag).
#[derive(Clone, Debug)]
pub struct Version(pub(super) UpdateVersion);

impl Version {
    pub(super) fn of(meta: &ObjectMeta) -> Version {
        Version(UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() })
    }

    /// Are both one version? By the entity tag where the store gave one: lists tell no number of a version, and Azure's no quotes.
    pub fn same(&self, other: &Version) -> bool {
        let tag = |version: &Version| version.0.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_owned());
        match (tag(self), tag(other)) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self.0.version == other.0.version,
            _ => false,
        }
    }
}

/// The clients that were made, by scheme and bucket or server.
static CLIENTS: Mutex<BTreeMap<String, Client>> = Mutex::new(BTreeMap::new());

/// A client of one bucket or server.
type Client = (Arc<dyn ObjectStore>, Option<Arc<dyn MultipartStore>>);

/// The place that a URL names.
///
/// # Errors
/// When it is no URL of a store, there are no credentials for it, or its key is none.
pub(super) fn at(url: &Path) -> Result<At> {
    let url = url.to_str().with_context(|| format!("{} is no UTF-8", url.display()))?;
    let (scheme, rest) = url.split_once("://").with_context(|| format!("{url} is no URL"))?;
    let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
    ensure!(!host.is_empty(), "{url} names no bucket: write {scheme}://BUCKET/PREFIX");
    let (scheme, key) = match scheme {
        "s3" => (Scheme::S3, literal(key)),
        "gs" => (Scheme::Google, literal(key)),
        "az" => (Scheme::Azure, literal(key)),
        "http" | "https" => (Scheme::Http, web(url)),
        _ => bail!("{url} is in no store that is known: those are s3, gs, az, https and http"),
    };
    let key = key.with_context(|| format!("{url} cannot be the name of an object"))?;
    let (store, parts) = client(url, scheme, host)?;
    Ok(At { store, parts, key, scheme, url: url.to_owned() })
}

/// The store of a URL, for DataFusion.
///
/// # Errors
/// When it is no URL of a store, or there are no credentials for it.
pub fn of_url(url: &Url) -> Result<Arc<dyn ObjectStore>> {
    Ok(at(Path::new(url.as_str()))?.store)
}

/// The key of an object store, which is taken as it stands.
fn literal(key: &str) -> Result<Key> {
    Ok(Key::parse(key.trim_end_matches('/'))?)
}

/// The path of a web server, whose `%` escapes are resolved.
fn web(url: &str) -> Result<Key> {
    let url = Url::parse(url)?;
    ensure!(url.username().is_empty() && url.password().is_none(), "it holds a password, which would be shown in messages");
    ensure!(url.query().is_none() && url.fragment().is_none(), "it goes on behind the path with ? or #");
    Ok(Key::from_url_path(url.path().trim_end_matches('/'))?)
}

fn client(url: &str, scheme: Scheme, host: &str) -> Result<Client> {
    let name = format!("{}://{host}", url.split(':').next().unwrap_or_default());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&name) {
        return Ok(client.clone());
    }
    let options = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout_disabled();
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY };
    let made: Client = match scheme {
        Scheme::S3 => both(credentials::s3()?.with_bucket_name(host).with_retry(retry).build()?),
        Scheme::Google => {
            both(credentials::google()?.with_bucket_name(host).with_client_options(options).with_retry(retry).build()?)
        }
        Scheme::Azure => {
            both(credentials::azure()?.with_container_name(host).with_client_options(options).with_retry(retry).build()?)
        }
        Scheme::Http => {
            let options = options.with_allow_http(url.starts_with("http://"));
            (Arc::new(HttpBuilder::new().with_url(&name).with_client_options(options).with_retry(retry).build()?), None)
        }
    };
    clients.insert(name, made.clone());
    Ok(made)
}

/// A store that can be written to.
fn both<T: ObjectStore + MultipartStore>(store: T) -> Client {
    let store = Arc::new(store);
    (Arc::clone(&store) as Arc<dyn ObjectStore>, Some(store))
}

/// The threads on which requests wait.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("store").enable_all().build().ok()
    });
    made.as_ref().context("cannot start the threads that talk to stores")
}

/// Runs requests to their end, from any thread.
///
/// # Errors
/// What they return, or that the threads for them cannot be started.
pub(super) fn wait<T: Send + 'static>(requests: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let (done, answer) = mpsc::sync_channel(1);
    runtime()?.spawn(async move { done.send(requests.await) });
    answer.recv().map_err(|_| anyhow!("the thread that talked to the store has ended"))?
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.url).finish()
    }
}

impl At {
    /// The place of an object below this one.
    pub fn below(&self, name: &str) -> At {
        At { key: self.key.clone().join(name), url: format!("{}/{name}", self.url.trim_end_matches('/')), ..self.clone() }
    }

    /// Bytes of the object, `most` at most; `None` when there is no such object.
    ///
    /// # Errors
    /// When the store does not answer in time, refuses, or sends more.
    pub async fn get(&self, range: Option<GetRange>, most: u64) -> Result<Option<Answer>> {
        let options = GetOptions { range, ..GetOptions::default() };
        let got = match self.soon(self.store.get_opts(&self.key, options)).await {
            Ok(Err(object_store::Error::NotFound { .. })) => return Ok(None),
            got => got?.with_context(|| format!("cannot read {}", self.url))?,
        };
        let (size, version, length) = (got.meta.size, Version::of(&got.meta), got.range.end - got.range.start);
        ensure!(length <= most, "{} has {length} bytes, and {most} are the limit", self.url);
        let mut bytes = BytesMut::with_capacity(usize::try_from(length)?);
        let (mut body, began) = (got.into_stream(), Instant::now());
        while let Some(part) = self.soon(body.next()).await? {
            bytes.extend_from_slice(&part.with_context(|| format!("cannot read {}", self.url))?);
            ensure!(bytes.len() as u64 <= length, "{} has more bytes than the server said", self.url);
            let least = began.elapsed().saturating_sub(STALL).as_secs() * SLOWEST;
            ensure!(bytes.len() as u64 >= least, "{}: the store sends less than {SLOWEST} bytes in a second", self.url);
        }
        ensure!(bytes.len() as u64 == length, "{} has fewer bytes than the server said", self.url);
        Ok(Some(Answer { bytes: bytes.freeze(), size, version }))
    }

    /// As [`At::soon`], for what sends much: it may take as long as a slow line takes for a part of a file.
    ///
    /// # Errors
    /// When it takes longer.
    pub async fn sent<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let late = || format!("{}: the store has not taken a part within {} s", self.url, SENT.as_secs());
        tokio::time::timeout(SENT, future).await.with_context(late)
    }

    /// What a future gives, which must not take longer than a store may.
    ///
    /// # Errors
    /// When it does.
    pub async fn soon<T>(&self, future: impl Future<Output = T>) -> Result<T> {
        let late = || format!("{}: the store has not answered for {} s", self.url, STALL.as_secs());
        tokio::time::timeout(STALL, future).await.with_context(late)
    }
}
