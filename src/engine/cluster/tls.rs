//! TLS in both directions: who serves and who asks show each other certificates that the same authority has signed.

use crate::files;
use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Error, Identity, Server, ServerTlsConfig};

/// The certificate of this machine with its key, and that of the authority that has signed those of all.
#[derive(Clone)]
pub struct Tls {
    client: ClientTlsConfig,
    server: ServerTlsConfig,
}

impl Tls {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` of a directory.
    ///
    /// # Errors
    /// When one cannot be read. What is no certificate is noticed when it is used.
    pub fn read(dir: &Path) -> Result<Tls> {
        let read = |name: &str| {
            let file = dir.join(name);
            files::given(&file).with_context(|| format!("cannot read the certificates in {}", file.display()))
        };
        let authority = Certificate::from_pem(read("ca.pem")?);
        let identity = Identity::from_pem(read("cert.pem")?, read("key.pem")?);
        let client = ClientTlsConfig::new().ca_certificate(authority.clone()).identity(identity.clone());
        let server = ServerTlsConfig::new().identity(identity).client_ca_root(authority);
        Ok(Tls { client, server })
    }

    /// The same place, asked by TLS. The certificate there must be for its name or address.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn over(&self, endpoint: &Endpoint) -> Result<Endpoint, Error> {
        let mut parts = endpoint.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        let uri = Uri::from_parts(parts).unwrap_or_else(|_| endpoint.uri().clone());
        Endpoint::from(uri).tls_config(self.client.clone())
    }

    /// A server that is asked by TLS, and by those only who have a certificate.
    ///
    /// # Errors
    /// When the certificates are none.
    pub fn serve(&self, server: Server) -> Result<Server> {
        server.tls_config(self.server.clone()).context("the certificates cannot be used")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
