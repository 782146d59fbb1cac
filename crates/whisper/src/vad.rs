//! Voice activity: how probable speech is in every 32 ms, by Silero's network (version 6).

use std::fmt;
use std::path::Path;

use rten::{Model, NodeId, RunOptions, Value};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use crate::Error;

/// Samples that one probability stands for: 32 ms.
pub(crate) const FRAME: usize = 512;

/// Samples before each frame that the network also looks at.
const CONTEXT: usize = 64;

/// Width of the recurrent state.
const STATE: usize = 128;

/// The loaded network. Shared by any number of streams, each of which keeps its own [`VadStream`].
pub struct Vad {
    model: Model,
    input: NodeId,
    state: [NodeId; 2],
    outputs: [NodeId; 3],
}

impl fmt::Debug for Vad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vad(Silero v6)")
    }
}

impl Vad {
    /// Loads `silero_vad_v6.onnx`: inputs `input` `[frames, 576]`, `h` and `c` `[1, 1, 128]`; outputs a
    /// probability a frame and the state after the last.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let broken = |reason: String| Error::Model { path: path.into(), reason };
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let model = Model::load(bytes).map_err(|error| broken(format!("it is no ONNX network: {error}")))?;
        let node =
            |name: &str| model.find_node(name).ok_or_else(|| broken(format!("it has no input `{name}`")));
        let (input, state) = (node("input")?, [node("h")?, node("c")?]);
        let outputs: [NodeId; 3] =
            model.output_ids().try_into().map_err(|_| broken("it does not have three outputs".into()))?;
        let vad = Self { model, input, state, outputs };
        // A network of other shapes shows itself on a first frame of silence.
        vad.stream().push(&[0.0; FRAME]).map_err(|error| broken(error.to_string()))?;
        Ok(vad)
    }

    /// A new stream, with no memory of any sound.
    pub(crate) fn stream(&self) -> VadStream<'_> {
        VadStream {
            vad: self,
            context: [0.0; CONTEXT],
            state: [0, 1].map(|_| NdTensor::zeros([1, 1, STATE])),
        }
    }
}

/// The network on one stream of sound, remembering what it has heard.
#[derive(Debug)]
pub(crate) struct VadStream<'v> {
    vad: &'v Vad,
    context: [f32; CONTEXT],
    state: [NdTensor<f32, 3>; 2],
}

impl VadStream<'_> {
    /// The probability of speech in each of the frames that `samples` consists of, 512 samples each.
    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, Error> {
        let frames = samples.len() / FRAME;
        debug_assert_eq!(samples.len(), frames * FRAME);
        if frames == 0 {
            return Ok(Vec::new());
        }
        let mut input = Vec::with_capacity(frames * (CONTEXT + FRAME));
        for frame in samples.chunks_exact(FRAME) {
            input.extend_from_slice(&self.context);
            input.extend_from_slice(frame);
            self.context.copy_from_slice(&frame[FRAME - CONTEXT..]);
        }
        let input = NdTensor::from_data([frames, CONTEXT + FRAME], input);
        let vad = self.vad;
        let inputs = vec![
            (vad.input, input.into()),
            (vad.state[0], self.state[0].view().into()),
            (vad.state[1], self.state[1].view().into()),
        ];
        // Frames depend on one another, so that a pool of threads would have nothing to share.
        let options = RunOptions::default().with_thread_pool(None);
        let [probabilities, h, c] = vad
            .model
            .run_n(inputs, vad.outputs, Some(options))
            .map_err(|error| Error::Vad(error.to_string()))?;
        self.state = [state(h)?, state(c)?];
        let probabilities = probabilities.into_tensor::<f32>().map(|tensor| tensor.to_vec());
        probabilities.filter(|probabilities| probabilities.len() == frames).ok_or_else(|| {
            Error::Vad(format!("the network did not give a probability for each of {frames} frames"))
        })
    }
}

fn state(value: Value) -> Result<NdTensor<f32, 3>, Error> {
    NdTensor::try_from(value)
        .map_err(|error| Error::Vad(format!("the network's state has a wrong shape: {error}")))
}
