//! TLS in both directions: who serves and who asks show each other certificates that the same authority has signed.

use crate::files;
use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error, Identity, Server, ServerTlsConfig};

/// How long it may take both sides to know each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// The certificate of this machine with its key, and that of the authority that has signed those of all.
#[derive(Clone)]
pub struct Certificates {
    client: ClientTlsConfig,
    server: ServerTlsConfig,
}

impl Certificates {
    /// Reads the files of a directory, in PEM: `cert.pem`, the certificate of this machine and those between it and the authority; `key.pem`,
    /// the private key of that; `ca.pem`, the authority by which the certificate of the other side must be signed.
    ///
    /// # Errors
    /// When one cannot be read. What is no certificate is noticed when it is used.
    pub fn read(dir: &Path) -> Result<Certificates> {
        let read = |name: &str| {
            let file = dir.join(name);
            files::given(&file).with_context(|| format!("cannot read the certificates in {}", file.display()))
        };
        let authority = Certificate::from_pem(read("ca.pem")?);
        let identity = Identity::from_pem(read("cert.pem")?, read("key.pem")?);
        let client = ClientTlsConfig::new().ca_certificate(authority.clone()).identity(identity.clone());
        let server = ServerTlsConfig::new().identity(identity).client_ca_root(authority).timeout(PATIENCE);
        Ok(Certificates { client, server })
    }

    /// The same place, asked by TLS. The certificate there must be for its name or address.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn over(&self, endpoint: &Endpoint) -> Result<Endpoint, Error> {
        let mut parts = endpoint.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| endpoint.uri().clone());
        // An IPv6 address has brackets in a URI, and none in a certificate.
        let name = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let client = self.client.clone();
        let client = match name {
            Some(name) => client.domain_name(name),
            None => client,
        };
        Endpoint::from(uri).tls_config(client)
    }

    /// A server that is asked by TLS, and by those only who have a certificate.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn serve(&self, server: Server) -> Result<Server> {
        server.tls_config(self.server.clone()).context("the certificates cannot be used")
    }
}

/// Nothing of the key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}
