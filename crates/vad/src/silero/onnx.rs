//! Reads the tensors of an ONNX file.
//!
//! Only the messages and fields that weights need are declared, with their numbers in `onnx.proto`. All others are
//! skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prost::Message;

use crate::Error;

/// `TensorProto.DataType.FLOAT`
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    /// The elements, unless they are in `raw_data`.
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(string, tag = "8")]
    name: String,
    /// The elements as bytes, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

/// The constants and operators of an ONNX file.
#[derive(Debug)]
pub(super) struct OnnxFile {
    path: PathBuf,
    nodes: Vec<NodeProto>,
    tensors: HashMap<String, TensorProto>,
}

impl OnnxFile {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::parse(path, &bytes)
    }

    /// Reads the file's bytes. `path` is only for the texts of errors.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let error = |reason: String| Error::Model { path: path.into(), reason };
        let model =
            ModelProto::decode(bytes).map_err(|cause| error(format!("it is no ONNX network: {cause}")))?;
        let graph = model.graph.ok_or_else(|| error("it is no ONNX network: it has no graph".into()))?;
        let tensors = graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        Ok(Self { path: path.into(), nodes: graph.node, tensors })
    }

    /// The names of the inputs of the first operator of this type.
    pub(super) fn inputs_of(&self, op_type: &str) -> Result<&[String], Error> {
        let node = self.nodes.iter().find(|node| node.op_type == op_type);
        Ok(&node.ok_or_else(|| self.error(format!("it has no operator `{op_type}`")))?.input)
    }

    /// An error that names this file.
    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        Error::Model { path: self.path.clone(), reason: reason.into() }
    }

    /// The tensor's elements in row-major order, if its shape is `shape`.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let error =
            |reason: String| Error::Variable { path: self.path.clone(), variable: name.into(), reason };
        let tensor = self.tensors.get(name).ok_or_else(|| error("is missing".into()))?;
        if !tensor.dims.iter().map(|size| usize::try_from(*size).ok()).eq(shape.iter().copied().map(Some)) {
            return Err(error(format!("has shape {:?} where {shape:?} is needed", tensor.dims)));
        }
        if tensor.data_type != FLOAT {
            return Err(error(format!("is of ONNX type {}; only float32 can be read", tensor.data_type)));
        }
        let values: Vec<f32> = match tensor.raw_data.as_chunks() {
            ([], []) => tensor.float_data.clone(),
            (whole, []) => whole.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            (_, rest) => return Err(error(format!("has {} bytes too many", rest.len()))),
        };
        let elements: usize = shape.iter().product();
        if values.len() != elements {
            return Err(error(format!("has {} elements where its shape needs {elements}", values.len())));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(error(format!("holds {value}, which no weight can be")));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        TensorProto {
            dims: dims.into(),
            data_type: FLOAT,
            float_data: Vec::new(),
            name: name.into(),
            raw_data,
        }
    }

    fn model() -> GraphProto {
        let as_floats =
            TensorProto { float_data: vec![3.0], raw_data: Vec::new(), ..tensor("floats", &[1], &[]) };
        GraphProto {
            node: vec![NodeProto { input: vec!["x".into(), "raw".into()], op_type: "Conv".into() }],
            initializer: vec![tensor("raw", &[2, 1], &[1.0, -2.0]), as_floats],
        }
    }

    fn parse(bytes: &[u8]) -> Result<OnnxFile, Error> {
        OnnxFile::parse("net.onnx".as_ref(), bytes)
    }

    fn file(graph: GraphProto) -> OnnxFile {
        parse(&ModelProto { graph: Some(graph) }.encode_to_vec()).unwrap()
    }

    #[test]
    fn tensors_are_read_from_raw_data_and_from_float_data() {
        let file = file(model());
        assert_eq!(file.tensor("raw", &[2, 1]).unwrap(), [1.0, -2.0]);
        assert_eq!(file.tensor("floats", &[1]).unwrap(), [3.0]);
        assert_eq!(file.inputs_of("Conv").unwrap(), ["x", "raw"]);
    }

    #[test]
    fn errors_name_the_file_and_the_tensor() {
        let sentence = |shape: &[usize], change: fn(&mut TensorProto)| {
            let mut graph = model();
            change(&mut graph.initializer[0]);
            file(graph).tensor("raw", shape).unwrap_err().to_string()
        };
        for (sentence, reason) in [
            (sentence(&[1, 2], |_| {}), "`raw` has shape [2, 1] where [1, 2] is needed"),
            (sentence(&[2, 1], |tensor| tensor.dims[1] = -1), "`raw` has shape [2, -1]"),
            (sentence(&[2, 1], |tensor| tensor.name = "other".into()), "`raw` is missing"),
            (sentence(&[2, 1], |tensor| tensor.data_type = 7), "`raw` is of ONNX type 7"),
            (sentence(&[2, 1], |tensor| tensor.raw_data.push(0)), "`raw` has 1 bytes too many"),
            (sentence(&[2, 1], |tensor| tensor.raw_data.clear()), "`raw` has 0 elements where"),
            (sentence(&[2, 1], |tensor| tensor.raw_data[2..4].fill(0xff)), "`raw` holds NaN"),
        ] {
            assert!(sentence.contains("net.onnx") && sentence.contains(reason), "{sentence}");
        }
        let sentence = file(model()).inputs_of("LSTM").unwrap_err().to_string();
        assert!(sentence.contains("net.onnx") && sentence.contains("no operator `LSTM`"), "{sentence}");
    }

    #[test]
    fn a_file_cut_off_anywhere_or_with_any_byte_changed_never_panics() {
        let bytes = ModelProto { graph: Some(model()) }.encode_to_vec();
        let touch = |file: OnnxFile| {
            let _ = (file.tensor("raw", &[2, 1]), file.tensor("floats", &[1]), file.inputs_of("Conv"));
        };
        for at in 0..bytes.len() {
            let sentence = parse(&bytes[..at]).unwrap_err().to_string();
            assert!(sentence.contains("net.onnx") && sentence.contains("no ONNX network"), "{sentence}");
            for value in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = value;
                // Some changes affect only a number or a name, so the file is still readable.
                let _ = parse(&changed).map(touch);
            }
        }
    }
}
