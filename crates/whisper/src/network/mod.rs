//! The network: samples to log-mel spectrograms, those to states, and tokens to the logits of the next.

pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod forced;
mod layers;
pub(crate) mod mel;
pub(crate) mod precision;
