//! What this machine could do at most: products and memory as fast as they get, and from those a limit for the
//! base model. `cargo bench -p verbatim-kernels --bench roofline`; RAYON_NUM_THREADS says with how many threads.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInT, GemmInputA, GemmInputB, GemmOptions, GemmOutT};
use rten_tensor::NdTensorView;
use verbatim_kernels::linear::Int8Weights;
use verbatim_kernels::{Linear, chosen};

/// The base model: width, hidden width, layers of either half, tokens, states of a window.
const WIDTH: usize = 512;
const HIDDEN: usize = 2048;
const LAYERS: usize = 6;
const VOCABULARY: usize = 51865;
const STATES: usize = 1500;
const MELS: usize = 80;

/// A window's text, in tokens, and the windows that share a decoder's step: what the limit assumes.
const STEPS: usize = 100;
const BATCH: usize = 8;

/// Rows that a thread multiplies at once, as the encoder does.
const ROWS: usize = 64;

/// Of everything the fastest of so many runs counts.
const RUNS: usize = 7;

fn main() {
    let f32_rate = products(&GemmExecutor::<f32>::new, |at| (at % 7) as f32, |at| (at % 5) as f32);
    let library = products(&GemmExecutor::<u8, i8, i32>::new, |at| (at % 251) as u8, |at| (at % 127) as i8);
    let int8_rate = library.max(layer());
    let read_rate = memory_read();
    println!("| on {} threads | at most |\n| --- | --- |", rayon::current_num_threads());
    println!("| f32 products, blocks of {ROWS} rows, {WIDTH} by {HIDDEN} | {:.0} GFLOP/s |", f32_rate / 1e9);
    println!("| int8 products, the same, of `rten-gemm` | {:.0} Gop/s |", library / 1e9);
    println!(
        "| and of the engine's layers, rows turned to bytes and back, or the former | {:.0} Gop/s |",
        int8_rate / 1e9
    );
    println!("| memory, read | {:.1} GB/s |", read_rate / 1e9);

    // Two operations for every weight and row.
    let layer = 4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN;
    let products = 2 * STATES * (LAYERS * layer + LAYERS * 2 * WIDTH * WIDTH);
    let attention = LAYERS * 4 * STATES * STATES * WIDTH;
    let convolutions = 2 * STATES * 3 * WIDTH * (2 * MELS + WIDTH);
    let (format, bf16_rate) = match instructions_of("products in bfloat16").as_str() {
        "AMX" => ("bfloat16, half as fast as int8", int8_rate / 2.0),
        "AVX-512 BF16" => ("bfloat16, twice as fast as f32", 2.0 * f32_rate),
        _ => ("f32", f32_rate),
    };
    let attention_name = format!("encoder: attention in {format}");
    let convolutions_name = format!("encoder: convolutions in {format}");
    let encoder = [
        ("encoder: products in int8, with keys and values for the decoder", products as f64 / int8_rate),
        (&attention_name[..], attention as f64 / bf16_rate),
        (&convolutions_name[..], convolutions as f64 / bf16_rate),
    ];
    // A step reads all weights once for its batch, and every window's keys and values; a byte each.
    let weights = LAYERS * (6 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN) + VOCABULARY * WIDTH;
    let keys_values = LAYERS * 2 * STATES * WIDTH;
    let bytes = |bytes: usize| (STEPS * bytes) as f64 / read_rate;
    let decoder = [
        ("decoder: weights read, a share of the batch's", bytes(weights) / BATCH as f64),
        ("decoder: keys and values read, in int8", bytes(keys_values)),
        ("decoder: products in int8", (STEPS * 2 * weights) as f64 / int8_rate),
    ];
    println!(
        "\n| a window of 30 s, {STEPS} tokens, one beam, batches of {BATCH} | at least |\n| --- | --- |"
    );
    let mut total = 0.0;
    for (what, seconds) in encoder.into_iter().chain(decoder) {
        total += seconds;
        println!("| {what} | {:.1} ms |", 1e3 * seconds);
    }
    println!("| in all | {:.1} ms, {:.0} times real time |", 1e3 * total, 30.0 / total);
}

/// The instructions that this is computed with; empty where there are none.
fn instructions_of(what: &str) -> String {
    chosen().into_iter().filter(|one| one.what == what).map(|one| one.instruction_set).collect()
}

/// Operations a second of products by a packed matrix, every thread with blocks of rows of its own.
fn products<A, B, C>(
    executor: &(impl Fn() -> GemmExecutor<A, B, C> + Sync),
    left: impl Fn(usize) -> A,
    right: impl Fn(usize) -> B,
) -> f64
where
    A: GemmInT,
    B: GemmInT,
    C: GemmOutT,
{
    let left: Vec<A> = (0..STATES * WIDTH).map(left).collect();
    let right: Vec<B> = (0..WIDTH * HIDDEN).map(right).collect();
    let packed = executor().prepack_b(NdTensorView::from_data([WIDTH, HIDDEN], &right[..]));
    let mut out: Vec<C> = vec![C::default(); STATES * HIDDEN];
    let seconds = fastest(|| {
        let blocks = left.par_chunks(ROWS * WIDTH).zip(out.par_chunks_mut(ROWS * HIDDEN));
        blocks.for_each_init(executor, |executor, (rows, out)| {
            let count = rows.len() / WIDTH;
            let rows = NdTensorView::from_data([count, WIDTH], rows);
            executor
                .gemm(out, GemmInputA::Unpacked(rows), GemmInputB::Packed(&packed), GemmOptions::default())
                .expect("the shapes fit");
        });
        black_box(&out);
    });
    (2 * STATES * WIDTH * HIDDEN) as f64 / seconds
}

/// As [`products`], of a layer in bytes, whose rows are turned to bytes and back.
fn layer() -> f64 {
    let numbers = |count: usize| -> Vec<f32> { (0..count).map(|at| (at % 251) as f32 - 100.0).collect() };
    let mut weights = Int8Weights::new(WIDTH, HIDDEN);
    weights.extend(&numbers(WIDTH * HIDDEN));
    let layer = Linear::int8(weights, None);
    let (x, mut y) = (numbers(STATES * WIDTH), vec![0.0; STATES * HIDDEN]);
    let seconds = fastest(|| {
        let blocks = x.par_chunks(ROWS * WIDTH).zip(y.par_chunks_mut(ROWS * HIDDEN));
        blocks.for_each(|(x, y)| layer.apply_strided(x, WIDTH, y, |_| {}));
        black_box(&y);
    });
    (2 * STATES * WIDTH * HIDDEN) as f64 / seconds
}

/// Bytes a second that all threads together read of what no cache holds.
fn memory_read() -> f64 {
    const BYTES: usize = 512 << 20;
    let words = vec![1_u64; BYTES / 8];
    let seconds = fastest(|| {
        let sum: u64 = words.par_chunks(1 << 16).map(|words| words.iter().sum::<u64>()).sum();
        assert_eq!(black_box(sum), words.len() as u64);
    });
    BYTES as f64 / seconds
}

/// Seconds of the fastest run.
fn fastest(mut run: impl FnMut()) -> f64 {
    let runs = (0..RUNS).map(|_| {
        let begun = Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    });
    runs.fold(f64::INFINITY, f64::min)
}
