//! Products and vector maths of all networks, on the CPU.
//!
//! Weights are packed once, for the processor at hand, and it is chosen once which instructions multiply them:
//! [`chosen`] says which. Nothing here knows a file of a model: the crate that reads its weights makes layers of them.
//!
//! In every product, a row's result does not depend on the other rows: its sums are added up in one order, however
//! many rows there are.

#[cfg(target_arch = "x86_64")]
mod amx;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod blocks;
mod choice;
mod layer_norm;
pub mod linear;
#[cfg(all(test, target_arch = "x86_64"))]
mod numbers;
pub mod panels;
mod quantize;
mod simd;
pub mod stages;
#[cfg(target_arch = "x86_64")]
mod tiled;
pub mod vector;

pub use choice::{Chosen, chosen};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
