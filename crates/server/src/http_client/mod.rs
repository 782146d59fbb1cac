//! The HTTP clients for requests to webhook receivers, to the model hub, and to addresses that clients of the service give.

mod guard;

pub use self::guard::{GuardError, GuardedClient, Networks, guarded};

/// The `User-Agent` header of all requests.
const USER_AGENT: &str = concat!("Verbatim/", env!("CARGO_PKG_VERSION"));

/// A client builder with TLS by `ring` and our `User-Agent`.
pub fn builder() -> reqwest::ClientBuilder {
    // Fails if the process has a TLS provider already. Any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().user_agent(USER_AGENT)
}
