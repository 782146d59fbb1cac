//! The tensors of a model, by the names that CTranslate2 gives them, whatever file they come from. (Unsafe: the
//! file is mapped into memory.)

mod ctranslate2;
mod element;
mod ggml;
mod reader;
mod renaming;
mod tensor;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;

use crate::Error;
pub(crate) use ggml::Ggml;
use tensor::{Index, Part, Tensor};

/// Stored blocks (or elements, where they are stored one by one) that are read at once.
const BLOCKS_AT_ONCE: usize = 16 * 1024;

/// A model file, mapped into memory.
#[derive(Debug)]
pub(crate) struct Weights {
    path: PathBuf,
    map: Mmap,
    index: Index,
}

impl Weights {
    /// Opens the `model.bin` of a CTranslate2 folder.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let map = map(path)?;
        let index = ctranslate2::index(&map).map_err(|reason| Error::Model { path: path.into(), reason })?;
        Ok(Self { path: path.into(), map, index })
    }

    /// Opens a `ggml-*.bin` of whisper.cpp, with what it holds besides weights.
    pub(crate) fn open_ggml(path: &Path) -> Result<(Self, Ggml), Error> {
        let map = map(path)?;
        let (index, ggml) = ggml::read(&map).map_err(|reason| Error::Model { path: path.into(), reason })?;
        Ok((Self { path: path.into(), map, index }, ggml))
    }

    /// The tensor's shape; an error if there is none of that name.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize], Error> {
        Ok(&self.find(name)?.shape)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The tensor's elements as f32, in row-major order, if its shape is `shape`.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let mut elements = Vec::with_capacity(shape.iter().product());
        self.read(name, shape, |rows| elements.extend_from_slice(rows))?;
        Ok(elements)
    }

    /// As [`Self::tensor`], but a few rows (of the last dimension) at a time, so that they stay in the cache and
    /// the whole is never in memory.
    pub(crate) fn read(
        &self,
        name: &str,
        shape: &[usize],
        mut take: impl FnMut(&[f32]),
    ) -> Result<(), Error> {
        let tensor = self.find(name)?;
        if tensor.shape != shape {
            return Err(self.fault(name, format!("has shape {:?} where {shape:?} is needed", tensor.shape)));
        }
        let width = shape.last().map_or(1, |width| (*width).max(1));
        let mut take_rows = |elements: &mut Vec<f32>| {
            let whole = elements.len() / width * width;
            take(&elements[..whole]);
            elements.drain(..whole);
        };
        let mut elements = Vec::new();
        for part in &tensor.parts {
            match part {
                Part::Stored { kind, bytes } => {
                    for piece in self.map[bytes.clone()].chunks(kind.block().1 * BLOCKS_AT_ONCE) {
                        if !kind.append_to(&mut elements, piece) {
                            let reason = format!(
                                "is {}; only models whose weights are floats can be loaded",
                                kind.name()
                            );
                            return Err(self.fault(name, reason));
                        }
                        take_rows(&mut elements);
                    }
                    self.release(bytes);
                }
                Part::Zeros(count) => {
                    elements.resize(elements.len() + count, 0.0);
                    take_rows(&mut elements);
                }
                Part::Integer(_) => return Err(self.fault(name, "is a whole number, not weights".into())),
            }
        }
        Ok(())
    }

    /// Tells the system that these bytes of the file were read, so that they do not count as memory of this process
    /// until it has packed the whole file: half of a large model's peak. They are read again if somebody asks.
    #[cfg(unix)]
    fn release(&self, bytes: &Range<usize>) {
        // SAFETY: the map is of a file and never written, so its pages come back as they were.
        let advised =
            unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
        // Nothing but memory is lost where the system does not listen.
        let _ = advised;
    }

    #[cfg(not(unix))]
    fn release(&self, _bytes: &Range<usize>) {}

    /// Every tensor's name and shape.
    #[cfg(test)]
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.index.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// A whole number that describes the model.
    pub(crate) fn integer(&self, name: &str) -> Result<i64, Error> {
        match self.find(name)?.parts[..] {
            [Part::Integer(value)] => Ok(value),
            _ => Err(self.fault(name, "is not a whole number".into())),
        }
    }

    /// An error that names this file and the tensor, as the file calls it.
    pub(crate) fn fault(&self, name: &str, reason: String) -> Error {
        let variable = self.index.get(name).map_or(name, |tensor| &tensor.stored_as);
        Error::Variable { path: self.path.clone(), variable: variable.into(), reason }
    }

    fn find(&self, name: &str) -> Result<&Tensor, Error> {
        self.index.get(name).ok_or_else(|| self.fault(name, "is missing".into()))
    }
}

fn map(path: &Path) -> Result<Mmap, Error> {
    let read = |source| Error::Read { path: path.into(), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is only read. As with every mapped file, it must not be cut short while in use;
    // model files are replaced by renaming, never written in place.
    unsafe { Mmap::map(&file) }.map_err(read)
}
