//! The products by tiles, 32 rows by 32 outputs at a time.

use super::{PANEL, Panel, Products, TiledRows};
use crate::amx::{Amx, Line, Rows, TILE_ROWS, Tiles};
use crate::quantize::to_f32;

/// Sums of two by two tiles.
#[repr(C, align(64))]
struct Sums([[i32; PANEL]; 2 * TILE_ROWS]);

/// The products of `x` with some panels, each with the place of its own.
pub(super) fn multiply<'p>(amx: Amx, x: &TiledRows, panels: impl Iterator<Item = (Panel<'p>, Products)>) {
    let tiles = Tiles::new(amx);
    let mut sums = Sums([[0; PANEL]; 2 * TILE_ROWS]);
    for (panel, y) in panels {
        // A panel stays in the cache while the rows go by.
        for first in (0..x.count()).step_by(2 * TILE_ROWS) {
            let rows = &x.scales[first..x.count().min(first + 2 * TILE_ROWS)];
            if rows.len() <= TILE_ROWS {
                multiply_tiles::<1>(&tiles, x.lines_from(first), panel, &mut sums);
            } else {
                multiply_tiles::<2>(&tiles, x.lines_from(first), panel, &mut sums);
            }
            for (row, (sums, scale)) in sums.0.iter_mut().zip(rows).enumerate() {
                let products = to_f32(sums, *scale, panel.scales, Some(panel.bias));
                // SAFETY: this row's outputs of this panel are this thread's.
                unsafe {
                    y.row(first + row).copy_from_nonoverlapping(products.as_ptr(), panel.outputs);
                }
            }
        }
    }
}

/// The sums of one or two tiles of rows with a panel.
fn multiply_tiles<const ROW_TILES: usize>(tiles: &Tiles, x: &[Line], panel: Panel<'_>, sums: &mut Sums) {
    let steps = panel.steps();
    assert!(steps > 0 && x.len() >= ROW_TILES * TILE_ROWS * steps);
    let x = Rows { first: x.as_ptr(), stride: steps * Line::BYTES };
    let sums = Rows { first: sums.0.as_mut_ptr().cast(), stride: size_of::<[i32; PANEL]>() };
    // SAFETY: lengths are as asserted; the panel has as many steps, and 32 numbers to start with.
    unsafe {
        tiles.multiply_bytes::<ROW_TILES>(x, panel.tiles.as_ptr(), steps, panel.starts.as_ptr(), sums);
    }
}
