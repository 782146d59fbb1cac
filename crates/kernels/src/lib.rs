//! Products and vector maths of all networks, on the CPU.

pub mod panels;
pub mod stages;
