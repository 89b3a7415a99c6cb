//! How the machines of a cluster talk: with a token that all of them know, and through connections that notice when the other side is
//! gone.

use crate::peers::{self, Certificates, Purpose, Token};
use anyhow::{Context, Result, ensure};
use ballista_core::extension::EndpointOverrideFn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

/// Longest message, bytes: a plan with its rows and the configuration of the model, or the outcome of a task.
pub const MESSAGE: usize = 64 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often the other side is asked whether it is still there, where nothing else is said, and how long it may take to answer.
const ALIVE: Duration = Duration::from_secs(5);
/// What stands before the key.
const PREFIX: &str = "ioriot-";

/// What all of a cluster have.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// File with the secret that all of them know.
    pub token: Option<PathBuf>,
    /// Directory with certificates ([`Certificates::read`]).
    pub tls: Option<PathBuf>,
}

/// How one talks to the others: with the token, and by TLS, where they are given.
///
/// It goes as the user agent of a connection, the one header that Ballista lets a caller set wherever it connects itself.
#[derive(Clone, Debug, Default)]
pub struct Link {
    token: Option<Token>,
    tls: Option<Certificates>,
}

impl Link {
    /// By what all of the cluster have.
    ///
    /// # Errors
    /// As [`Token::read`] and [`Certificates::read`].
    pub fn by(secrets: &Secrets) -> Result<Link> {
        let token = secrets.token.as_deref().map(|file| Token::read(file, Purpose::Cluster)).transpose()?;
        Ok(Link { token, tls: secrets.tls.as_deref().map(Certificates::read).transpose()? })
    }

    /// Refuses to serve others than this machine without a token, and in the clear unless told so.
    ///
    /// # Errors
    /// When the address is not of the loopback device, and no token, or neither certificates nor the word for none were given.
    pub fn may_serve(&self, bind: SocketAddr, exposure: Exposure) -> Result<()> {
        if bind.ip().is_loopback() {
            return Ok(());
        }
        ensure!(!bind.ip().is_unspecified(), "{bind} is no address that others could be told: name one of this machine's own");
        ensure!(self.token.is_some(), "{bind} is open to others: give all of the cluster the same token (--token FILE)");
        ensure!(
            self.tls.is_some() || exposure == Exposure::Clear,
            "what goes over the network would not be encrypted, the token neither: give certificates (--tls DIR), or say --insecure \
             where the network between the machines is your own (docs/CLUSTER.md)"
        );
        Ok(())
    }

    /// Sets up a connection.
    ///
    /// # Errors
    /// When the address cannot be one.
    fn set(&self, endpoint: Endpoint) -> Result<Endpoint, tonic::transport::Error> {
        let endpoint = match &self.tls {
            Some(tls) => tls.over(&endpoint)?,
            None => endpoint,
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(ALIVE))
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        match &self.token {
            Some(token) => endpoint.user_agent(agent(token)),
            None => Ok(endpoint),
        }
    }

    /// What Ballista calls for each connection that it makes.
    pub fn endpoints(&self) -> EndpointOverrideFn {
        let link = self.clone();
        Arc::new(move |endpoint| Ok(link.set(endpoint)?))
    }

    /// What a server is made of.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn server(&self) -> Result<Server> {
        match &self.tls {
            Some(tls) => tls.serve(Server::builder()),
            None => Ok(Server::builder()),
        }
    }

    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When nobody answers there.
    pub async fn connect(&self, address: &str, patience: Duration) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.with_context(|| format!("{address:?} is no HOST:PORT"))?;
        self.set(endpoint)?.timeout(patience).connect().await.with_context(|| format!("nobody answers at {address}"))
    }
}

impl Interceptor for Link {
    /// Refuses a request without the token; the connection of one that has it may stay.
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.token.as_ref().is_some_and(|token| !is_in(token, request.metadata())) {
            return Err(Status::unauthenticated("the token is missing or another one (--token FILE)"));
        }
        peers::admit(request.extensions());
        Ok(request)
    }
}

/// The key as it goes over the wire.
fn agent(token: &Token) -> String {
    format!("{PREFIX}{}", token.shown())
}

/// Is this the key of a request?
fn is_in(token: &Token, metadata: &MetadataMap) -> bool {
    let agent = metadata.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let mut shown = agent.split(' ').filter_map(|word| word.strip_prefix(PREFIX));
    shown.next().is_some_and(|shown| token.is(shown))
}

/// How a server may serve others than this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// By TLS only.
    Encrypted,
    /// In the clear, too.
    Clear,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Token {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), secret).unwrap();
        Token::read(&dir.path().join("token"), Purpose::Cluster).unwrap()
    }

    #[test]
    fn only_the_token_opens() {
        let (known, other) = (token("0123456789abcdef"), token("0123456789abcdeF"));
        let request = |agent: &str| {
            let mut request = Request::new(());
            request.metadata_mut().insert("user-agent", agent.parse().unwrap());
            request
        };
        let mut link = Link { token: Some(known.clone()), tls: None };
        link.call(request(&format!("{} tonic/0.14", agent(&known)))).unwrap();
        for agent in [String::new(), "tonic/0.14".into(), agent(&other), PREFIX.into(), known.shown()] {
            assert!(link.call(request(&agent)).is_err(), "{agent}");
        }
        // A second key does not help one that is wrong.
        assert!(link.call(request(&format!("{} {}", agent(&other), agent(&known)))).is_err());
        assert!(Link::default().call(request("")).is_ok());
        assert!(!format!("{link:?}").contains(&known.shown()[..8]));
    }

    #[test]
    fn others_are_served_only_when_told_and_with_a_token() {
        let with = Link { token: Some(token("0123456789abcdef")), tls: None };
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Link::default().may_serve(address("127.0.0.1:0"), Exposure::Encrypted).unwrap();
        Link::default().may_serve(address("[::1]:0"), Exposure::Encrypted).unwrap();
        with.may_serve(address("10.0.0.1:1"), Exposure::Clear).unwrap();
        for (link, bind, exposure, says) in [
            (Link::default(), "10.0.0.1:1", Exposure::Clear, "--token"),
            (with.clone(), "10.0.0.1:1", Exposure::Encrypted, "--insecure"),
            (with.clone(), "0.0.0.0:1", Exposure::Clear, "name one"),
        ] {
            let error = link.may_serve(address(bind), exposure).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
