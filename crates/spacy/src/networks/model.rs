//! thinc's serialised networks: the file `model` of a pipeline's component.
//!
//! It is one msgpack map of four lists that run side by side, one entry a layer, in the breadth-first order of
//! the network's tree: `nodes` (name, dimensions, references to other layers by number), `attrs` (each value
//! msgpack again), `params` (arrays as msgpack-numpy writes them) and `shims` (other frameworks' weights).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rmpv::ValueRef;

use crate::error::{self, LoadError};
use crate::msgpack::{self, entries, field, string};

/// The layers of one `model` file.
#[derive(Debug)]
pub(crate) struct Network {
    file: PathBuf,
    layers: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    references: HashMap<String, usize>,
    attributes: HashMap<String, Vec<u8>>,
    tensors: HashMap<String, Tensor>,
}

#[derive(Debug)]
struct Tensor {
    shape: Vec<usize>,
    /// Row-major.
    values: Vec<f32>,
}

/// One layer of a [`Network`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'n> {
    network: &'n Network,
    number: usize,
}

impl Network {
    /// Reads a component's `model` file.
    pub(crate) fn read(file: &Path) -> Result<Self, LoadError> {
        let bytes = error::read(file)?;
        Self::parse(file, &bytes)
    }

    /// Reads the bytes of the `file` that errors are to name.
    pub(crate) fn parse(file: &Path, bytes: &[u8]) -> Result<Self, LoadError> {
        let damaged = |reason: String| LoadError::Damaged { file: file.to_owned(), reason };
        let message = msgpack::parse(file, bytes)?;
        let list = |name: &str| {
            field(&message, name)
                .and_then(ValueRef::as_array)
                .ok_or_else(|| damaged(format!("it has no list `{name}`")))
        };
        let (nodes, attributes, parameters, shims) =
            (list("nodes")?, list("attrs")?, list("params")?, list("shims")?);
        if [attributes.len(), parameters.len(), shims.len()] != [nodes.len(); 3] {
            return Err(damaged(
                "its lists of layers, attributes and parameters differ in length".to_owned(),
            ));
        }
        let layers = nodes.iter().zip(attributes).zip(parameters).zip(shims).enumerate();
        let layers = layers.map(|(number, (((node, attributes), parameters), shims))| {
            Node::parse(node, attributes, parameters, shims, nodes.len())
                .map_err(|reason| damaged(format!("layer {number} {reason}")))
        });
        Ok(Self { file: file.to_owned(), layers: layers.collect::<Result<_, _>>()? })
    }

    /// The whole network.
    pub(crate) fn root(&self) -> Result<Layer<'_>, LoadError> {
        if self.layers.is_empty() {
            return Err(self.damaged("it holds no layers"));
        }
        Ok(Layer { network: self, number: 0 })
    }

    /// The layers of that name, in the file's order: those of a chain come as they are applied.
    pub(crate) fn named<'n>(&'n self, name: &'static str) -> impl Iterator<Item = Layer<'n>> {
        let layers = self.layers.iter().enumerate().filter(move |(_, node)| node.name == name);
        layers.map(|(number, _)| Layer { network: self, number })
    }

    /// The first layer of that name.
    pub(crate) fn first(&self, name: &'static str) -> Result<Layer<'_>, LoadError> {
        self.named(name).next().ok_or_else(|| self.damaged(format!("it has no layer `{name}`")))
    }

    /// An error that names this file.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Damaged { file: self.file.clone(), reason: reason.into() }
    }
}

impl<'n> Layer<'n> {
    pub(crate) fn is(self, other: Layer<'_>) -> bool {
        self.number == other.number
    }

    /// The layer that this one refers to by `name`.
    pub(crate) fn reference(self, name: &str) -> Result<Layer<'n>, LoadError> {
        let number = self.node().references.get(name);
        let number = *number.ok_or_else(|| self.damaged(format!("refers to no `{name}`")))?;
        Ok(Layer { network: self.network, number })
    }

    /// The shape of the parameter `name`, which has `N` dimensions.
    pub(crate) fn shape<const N: usize>(self, name: &str) -> Result<[usize; N], LoadError> {
        let shape = &self.tensor(name)?.shape;
        shape[..].try_into().map_err(|_| {
            self.damaged(format!("has a parameter `{name}` of shape {shape:?}, not of {N} dimensions"))
        })
    }

    /// The parameter `name`, row-major, which must be of that shape.
    pub(crate) fn parameter(self, name: &str, shape: &[usize]) -> Result<&'n [f32], LoadError> {
        let tensor = self.tensor(name)?;
        if tensor.shape != shape {
            let found = &tensor.shape;
            return Err(self.damaged(format!("has a parameter `{name}` of shape {found:?}, not {shape:?}")));
        }
        Ok(&tensor.values)
    }

    /// The attribute `name`, a number that is not negative.
    pub(crate) fn number(self, name: &str) -> Result<u64, LoadError> {
        let value = self.attribute(name)?;
        let value = msgpack::value(value).ok().and_then(|value| value.as_u64());
        value.ok_or_else(|| self.damaged(format!("has an attribute `{name}` that is no number")))
    }

    /// The attribute `name`, a list of strings.
    pub(crate) fn strings(self, name: &str) -> Result<Vec<String>, LoadError> {
        let value = self.attribute(name)?;
        let value = msgpack::value(value).ok();
        let items = value.as_ref().and_then(ValueRef::as_array);
        items
            .and_then(|items| items.iter().map(|item| string(item).map(str::to_owned)).collect())
            .ok_or_else(|| self.damaged(format!("has an attribute `{name}` that is no list of strings")))
    }

    /// An error that names this layer and its file.
    pub(crate) fn damaged(self, reason: impl std::fmt::Display) -> LoadError {
        let name = &self.node().name;
        self.network.damaged(format!("layer {} (`{name}`) {reason}", self.number))
    }

    fn node(self) -> &'n Node {
        &self.network.layers[self.number]
    }

    fn tensor(self, name: &str) -> Result<&'n Tensor, LoadError> {
        self.node().tensors.get(name).ok_or_else(|| self.damaged(format!("has no parameter `{name}`")))
    }

    fn attribute(self, name: &str) -> Result<&'n [u8], LoadError> {
        let value = self.node().attributes.get(name).map(Vec::as_slice);
        value.ok_or_else(|| self.damaged(format!("has no attribute `{name}`")))
    }
}

impl Node {
    /// `layers` is how many there are, to check references. An error goes on behind the layer's number.
    fn parse(
        node: &ValueRef<'_>,
        attributes: &ValueRef<'_>,
        parameters: &ValueRef<'_>,
        shims: &ValueRef<'_>,
        layers: usize,
    ) -> Result<Self, String> {
        let name = field(node, "name").and_then(string).ok_or("has no name")?.to_owned();
        if shims.as_array().is_none_or(|shims| !shims.is_empty()) {
            return Err(format!(
                "(`{name}`) wraps another framework's network, which this reader does not know"
            ));
        }
        let mut this =
            Self { name, references: HashMap::new(), attributes: HashMap::new(), tensors: HashMap::new() };
        for (key, value) in entries(field(node, "refs").ok_or("has no references")?) {
            if matches!(value, ValueRef::Nil) {
                continue;
            }
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            let number = number.filter(|number| *number < layers);
            let number = number.ok_or_else(|| format!("refers by `{key}` to a layer that does not exist"))?;
            this.references.insert(key.to_owned(), number);
        }
        for (key, value) in entries(attributes) {
            if let ValueRef::Binary(bytes) = value {
                this.attributes.insert(key.to_owned(), bytes.to_vec());
            }
        }
        for (key, value) in entries(parameters) {
            if matches!(value, ValueRef::Nil) {
                continue;
            }
            let tensor =
                Tensor::parse(value).map_err(|reason| format!("has a parameter `{key}` {reason}"))?;
            this.tensors.insert(key.to_owned(), tensor);
        }
        Ok(this)
    }
}

impl Tensor {
    fn parse(value: &ValueRef<'_>) -> Result<Self, String> {
        let kind = field(value, "type").and_then(string).ok_or("that is no array")?;
        if kind != "<f4" {
            return Err(format!("of numbers of type `{kind}`, not of `<f4`"));
        }
        let shape = field(value, "shape").and_then(ValueRef::as_array).ok_or("without a shape")?;
        let shape: Option<Vec<usize>> = shape.iter().map(|size| size.as_u64()?.try_into().ok()).collect();
        let shape = shape.ok_or("whose shape is no list of sizes")?;
        let Some(ValueRef::Binary(bytes)) = field(value, "data") else {
            return Err("without data".to_owned());
        };
        let size = shape.iter().try_fold(4_usize, |size, dimension| size.checked_mul(*dimension));
        if size != Some(bytes.len()) {
            return Err(format!("of shape {shape:?} with {} bytes of data", bytes.len()));
        }
        let (values, _) = bytes.as_chunks::<4>();
        Ok(Self { shape, values: values.iter().copied().map(f32::from_le_bytes).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmpv::Value;

    fn array(shape: &[u64], data: Vec<u8>) -> Value {
        let key = |name: &str| Value::Binary(name.as_bytes().to_vec());
        Value::Map(vec![
            (key("nd"), true.into()),
            (key("type"), "<f4".into()),
            (key("kind"), Value::Binary(Vec::new())),
            (key("shape"), Value::Array(shape.iter().map(|size| (*size).into()).collect())),
            (key("data"), Value::Binary(data)),
        ])
    }

    fn message(parameter: Value) -> Vec<u8> {
        let map = |entries: Vec<(&str, Value)>| {
            Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
        };
        let node = map(vec![
            ("index", 0.into()),
            ("name", "linear".into()),
            ("dims", map(vec![("nO", 2.into())])),
            ("refs", map(vec![("itself", 0.into()), ("nothing", Value::Nil)])),
        ]);
        let columns = [0x92, 0xa1, b'A', 0xa1, b'B'].to_vec();
        let message = map(vec![
            ("nodes", Value::Array(vec![node])),
            (
                "attrs",
                Value::Array(vec![map(vec![
                    ("seed", Value::Binary(vec![8])),
                    ("columns", Value::Binary(columns)),
                ])]),
            ),
            ("params", Value::Array(vec![map(vec![("W", parameter), ("b", Value::Nil)])])),
            ("shims", Value::Array(vec![Value::Array(Vec::new())])),
        ]);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &message).unwrap();
        bytes
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_layer_has_parameters_attributes_and_references() {
        let bytes = message(array(&[2, 1], floats(&[1.5, -2.0])));
        let network = Network::parse(Path::new("ner/model"), &bytes).unwrap();
        let layer = network.first("linear").unwrap();
        assert_eq!(layer.parameter("W", &[2, 1]).unwrap(), [1.5, -2.0]);
        assert_eq!(layer.shape::<2>("W").unwrap(), [2, 1]);
        assert_eq!(layer.number("seed").unwrap(), 8);
        assert_eq!(layer.strings("columns").unwrap(), ["A", "B"]);
        assert!(layer.reference("itself").unwrap().is(network.root().unwrap()));
    }

    #[test]
    fn what_is_missing_is_named_with_its_file_and_layer() {
        let bytes = message(array(&[2, 1], floats(&[1.5, -2.0])));
        let network = Network::parse(Path::new("ner/model"), &bytes).unwrap();
        let layer = network.first("linear").unwrap();
        for (error, part) in [
            (layer.parameter("W", &[3, 1]).unwrap_err(), "[3, 1]"),
            (layer.parameter("b", &[2]).unwrap_err(), "`b`"),
            (layer.number("columns").unwrap_err(), "`columns`"),
            (layer.strings("seed").unwrap_err(), "`seed`"),
            (layer.reference("nothing").unwrap_err(), "`nothing`"),
            (network.first("maxout").unwrap_err(), "`maxout`"),
        ] {
            let error = error.to_string();
            assert!(error.contains(part) && error.contains("ner/model"), "{error}");
        }
    }

    #[test]
    fn damaged_bytes_are_errors() {
        let file = Path::new("tok2vec/model");
        let good = message(array(&[2, 1], floats(&[1.5, -2.0])));
        for length in 0..good.len() {
            Network::parse(file, &good[..length]).unwrap_err();
        }
        for bytes in [
            message(array(&[3, 1], floats(&[1.5, -2.0]))),
            message(array(&[u64::MAX, 2], floats(&[1.5, -2.0]))),
            message(7.into()),
        ] {
            let error = Network::parse(file, &bytes).unwrap_err().to_string();
            assert!(error.contains("`W`") && error.contains("tok2vec/model"), "{error}");
        }
    }
}
