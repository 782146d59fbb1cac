//! The channels of a track: the layout that ffmpeg is to output, and the weight of each channel in the mix.

use serde::{Deserialize, Deserializer, Serialize};

/// Front left and right. Their ratio to the centre is that of ITU-R BS.775.
const FRONT: f32 = std::f32::consts::FRAC_1_SQRT_2;
const CENTRE: f32 = 1.0;
/// Surround channels, as ffmpeg mixes them.
const SURROUND: f32 = 0.5;
/// Low-frequency effects have no speech, but multi-microphone recordings are often labelled as surround.
const LFE: f32 = 0.1;

/// ffmpeg's names of layouts, with the weights of their channels in ffmpeg's order.
const LAYOUTS: [(&str, &[f32]); 18] = [
    ("2.1", &[FRONT, FRONT, LFE]),
    ("3.0", &[FRONT, FRONT, CENTRE]),
    ("3.0(back)", &[FRONT, FRONT, SURROUND]),
    ("4.0", &[FRONT, FRONT, CENTRE, SURROUND]),
    ("quad", &[FRONT, FRONT, SURROUND, SURROUND]),
    ("quad(side)", &[FRONT, FRONT, SURROUND, SURROUND]),
    ("3.1", &[FRONT, FRONT, CENTRE, LFE]),
    ("5.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND]),
    ("5.0(side)", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND]),
    ("4.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND]),
    ("5.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND]),
    ("5.1(side)", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND]),
    ("6.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND, SURROUND]),
    ("6.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, SURROUND]),
    ("7.0", &[FRONT, FRONT, CENTRE, SURROUND, SURROUND, SURROUND, SURROUND]),
    ("7.1", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, SURROUND, SURROUND]),
    ("7.1(wide)", &[FRONT, FRONT, CENTRE, LFE, SURROUND, SURROUND, FRONT, FRONT]),
    ("7.1(wide-side)", &[FRONT, FRONT, CENTRE, LFE, FRONT, FRONT, SURROUND, SURROUND]),
];

/// More channels than this are mixed to mono by ffmpeg. No recorder has as many.
const MAX_CHANNELS: u32 = 64;

/// The channels that ffmpeg is to output, and how they are mixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Channels {
    /// ffmpeg's name of the layout; `None` for discrete channels.
    #[serde(deserialize_with = "known_layout")]
    pub(crate) layout: Option<String>,
    /// The weight of each channel in the mix.
    pub(crate) weights: Vec<f32>,
}

impl Channels {
    fn of_layout(name: &str, weights: &[f32]) -> Self {
        Self { layout: Some(name.to_owned()), weights: weights.to_vec() }
    }

    /// The channels of a track with `count` channels, in the layout that the container names.
    pub(super) fn of(count: u32, layout: Option<&str>) -> Self {
        let known =
            LAYOUTS.iter().find(|(name, weights)| Some(*name) == layout && weights.len() == count as usize);
        match (known, count) {
            (Some((name, weights)), _) => Self::of_layout(name, weights),
            (None, 2) => Self::of_layout("stereo", &[1.0; 2]),
            (None, 3..=MAX_CHANNELS) => Self { layout: None, weights: vec![1.0; count as usize] },
            _ => Self::of_layout("mono", &[1.0]),
        }
    }
}

/// Accepts only known layouts, because the name becomes an argument of ffmpeg.
fn known_layout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let layout = Option::<String>::deserialize(deserializer)?;
    let mut known = LAYOUTS.iter().map(|(name, _)| *name).chain(["stereo", "mono"]);
    match layout {
        Some(name) if !known.any(|known| known == name) => {
            Err(serde::de::Error::custom(format!("“{name}” is no layout of channels")))
        }
        layout => Ok(layout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_layouts_reach_ffmpeg() {
        let side = Channels::of(6, Some("5.1(side)"));
        assert_eq!((side.layout.as_deref(), side.weights.len()), (Some("5.1(side)"), 6));
        for (count, layout, expected) in [
            (1, Some("mono"), (Some("mono"), 1)),
            (2, Some("stereo,volume=0"), (Some("stereo"), 2)),
            (4, None, (None, 4)),
            (5, Some("5.1"), (None, 5)),
            (16, Some("unknown"), (None, 16)),
            (1000, None, (Some("mono"), 1)),
        ] {
            let channels = Channels::of(count, layout);
            assert_eq!((channels.layout.as_deref(), channels.weights.len()), expected);
        }
    }
}
