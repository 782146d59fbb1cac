//! What a model file holds: tensors by their names, and where they lie in it.

use std::collections::HashMap;
use std::ops::Range;

use super::element::Element;

/// What a file holds and where.
pub(super) type Index = HashMap<String, Tensor>;

/// A tensor as the network takes it. Its parts follow one another, but may lie apart in the file.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) parts: Vec<Part>,
    /// What the file calls it.
    pub(super) stored_as: String,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Stored {
        kind: Element,
        bytes: Range<usize>,
    },
    /// So many elements, which the file leaves out.
    Zeros(usize),
    /// Not an element, but a number that describes the model.
    Integer(i64),
}
