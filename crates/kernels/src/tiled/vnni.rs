//! The products by the instruction that multiplies four bytes in each lane (AVX-512 VNNI), a dozen rows by two vectors of
//! outputs at a time: their sums stay in registers.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_load_si512, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps,
};

use super::{PANEL, Panel, Products, TiledRows};
use crate::amx::{Line, TILE_ROWS};

/// Lanes of a vector.
const LANES: usize = 16;

/// Rows at a time.
const ROWS: usize = 12;

const _: () = assert!(PANEL == 2 * LANES && TILE_ROWS == LANES);

/// Exists only where the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni(());

impl Vnni {
    pub(crate) fn detect() -> Option<Self> {
        let has_both = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
        has_both.then_some(Self(()))
    }

    /// The products of `x` with some panels, each with the place of its own.
    pub(super) fn multiply<'p>(self, x: &TiledRows, panels: impl Iterator<Item = (Panel<'p>, Products)>) {
        for (panel, y) in panels {
            // A panel stays in the cache while the rows go by.
            for first in (0..x.count()).step_by(ROWS) {
                let scales = &x.scales[first..x.count().min(first + ROWS)];
                // SAFETY: `detect`, which alone makes one of these, has asked for the instructions. These rows' outputs of
                // this panel are this thread's.
                unsafe { multiply_rows(x.lines_from(first), scales, panel, y.at_row(first)) };
            }
        }
    }
}

/// Any number of rows up to [`ROWS`], given by their scales.
///
/// # Safety
/// `y` has as many rows of the panel's outputs.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply_rows(x: &[Line], scales: &[f32], panel: Panel<'_>, y: Products) {
    // SAFETY: as the caller vouches.
    unsafe {
        match scales.len() {
            12 => multiply::<12>(x, scales, panel, y),
            9..12 => {
                multiply::<8>(x, scales, panel, y);
                let x = &x[8 * panel.steps()..];
                multiply_rows(x, &scales[8..], panel, y.at_row(8));
            }
            8 => multiply::<8>(x, scales, panel, y),
            5..8 => {
                multiply::<4>(x, scales, panel, y);
                let x = &x[4 * panel.steps()..];
                multiply_rows(x, &scales[4..], panel, y.at_row(4));
            }
            4 => multiply::<4>(x, scales, panel, y),
            3 => multiply::<3>(x, scales, panel, y),
            2 => multiply::<2>(x, scales, panel, y),
            _ => multiply::<1>(x, scales, panel, y),
        }
    }
}

/// `R` rows.
///
/// # Safety
/// `y` has as many rows of the panel's outputs.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply<const R: usize>(x: &[Line], scales: &[f32], panel: Panel<'_>, y: Products) {
    let steps = panel.steps();
    let stride = steps * Line::BYTES;
    assert!(x.len() >= R * steps && scales.len() >= R && panel.tiles.len() == steps * 2 * TILE_ROWS);
    let words = x.as_ptr().cast::<i32>();
    // SAFETY: lengths are as asserted, and the caller vouches for `y`.
    unsafe {
        let start = |vector: usize| _mm512_loadu_si512(panel.starts.as_ptr().add(vector * LANES).cast());
        let mut sums = [[start(0), start(1)]; R];
        for step in 0..steps {
            let tiles = panel.tiles.as_ptr().add(step * 2 * TILE_ROWS).cast::<__m512i>();
            for four in 0..TILE_ROWS {
                // The next panel, to the cache's second level: the first has no room for both.
                let ahead = tiles.wrapping_add(panel.tiles.len() + four);
                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(TILE_ROWS).cast());
                let weights =
                    [_mm512_load_si512(tiles.add(four)), _mm512_load_si512(tiles.add(TILE_ROWS + four))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let word = words.byte_add(row * stride + step * Line::BYTES).add(four);
                    let x = _mm512_set1_epi32(*word);
                    sums[0] = _mm512_dpbusd_epi32(sums[0], x, weights[0]);
                    sums[1] = _mm512_dpbusd_epi32(sums[1], x, weights[1]);
                }
            }
        }
        let mask = u32::MAX >> (PANEL - panel.outputs);
        for (row, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let at = vector * LANES;
                let scale = _mm512_mul_ps(
                    _mm512_set1_ps(scales[row]),
                    _mm512_loadu_ps(panel.scales.as_ptr().add(at)),
                );
                let bias = _mm512_loadu_ps(panel.bias.as_ptr().add(at));
                let product = _mm512_fmadd_ps(_mm512_cvtepi32_ps(*sum), scale, bias);
                _mm512_mask_storeu_ps(y.row(row).wrapping_add(at), (mask >> at) as u16, product);
            }
        }
    }
}
