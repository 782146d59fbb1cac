//! How the service calls others: webhook receivers and the model hub.

/// Names the service to whoever is called.
const USER_AGENT: &str = concat!("Verbatim/", env!("CARGO_PKG_VERSION"));

/// A client to be: with TLS by `ring`, and with our name.
pub fn builder() -> reqwest::ClientBuilder {
    // Fails where the process has a provider already, which is then as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().user_agent(USER_AGENT)
}
