//! Tiles on a processor that has none, for tests: what the processor refuses as an unknown instruction is decoded and
//! done here, in the handler of the signal that it raises.
//!
//! So the very bytes that run on a processor with tiles are tested on every other, operands and all. Instructions are as
//! the Intel 64 and IA-32 Architectures Software Developer's Manual defines them, volume 2, of those that
//! [`super::tiles`] uses.

use std::cell::RefCell;
use std::sync::Once;

use super::Amx;

/// Real tiles where the processor has them, else emulated ones.
pub(crate) fn amx() -> Amx {
    Amx::detect().unwrap_or_else(|| {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(install);
        Amx(())
    })
}

/// A tile's rows.
type Tile = [[u8; 64]; 16];

thread_local! {
    /// The tiles; `None` where they have no shapes.
    static TILES: RefCell<Option<Box<[Tile; 8]>>> = const { RefCell::new(None) };
}

fn install() {
    // SAFETY: the handler gets what its signature says, as `SA_SIGINFO` asks.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Does the instruction and goes on behind it. What else is unknown kills the process, as without the handler.
extern "C" fn handle(_signal: libc::c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes the thread's context, and the instruction's bytes and operands are the thread's own.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = registers[libc::REG_RIP as usize] as *const u8;
        match execute(at, registers) {
            Some(length) => registers[libc::REG_RIP as usize] += length,
            None => libc::abort(),
        }
    }
}

/// Does the instruction at `code`; gives its length, or nothing where it is none of tiles.
///
/// # Safety
/// `code` points to an instruction whose operands can be read and written.
unsafe fn execute(code: *const u8, registers: &[i64]) -> Option<i64> {
    // SAFETY: instructions of tiles have a prefix of three bytes, an opcode and an operand's byte at least.
    let [vex, first, second, opcode, modrm] = unsafe { code.cast::<[u8; 5]>().read() };
    // VEX with the map 0F 38, 128 bits; W and R are 0, as tiles are numbered up to 7.
    if vex != 0xc4 || first & 0x1f != 2 || second & 0x84 != 0 {
        return None;
    }
    let prefix = second & 3;
    let third_operand = usize::from(!(second >> 3) & 0xf);
    let (tile, low) = (usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
    if modrm >> 6 == 3 {
        match (opcode, prefix) {
            (0x49, 0) => TILES.set(None),
            (0x49, 3) => with(|tiles| tiles[tile] = [[0; 64]; 16]),
            (0x5e, 1) => with(|tiles| tiles[tile] = bytes(tiles[tile], &tiles[low], &tiles[third_operand])),
            (0x5c, 2) => with(|tiles| tiles[tile] = bf16(tiles[tile], &tiles[low], &tiles[third_operand])),
            _ => return None,
        }
        return Some(5);
    }
    // SAFETY: as the caller vouches.
    let (address, stride, length) = unsafe { operand(code, first, modrm, registers) };
    match (opcode, prefix) {
        (0x49, 0) => {
            // SAFETY: the operand is 64 bytes.
            let shapes = unsafe { (address as *const [u8; 64]).read() };
            let whole = shapes[0] == 1
                && (0..8).all(|tile| shapes[16 + 2 * tile..][..2] == [64, 0] && shapes[48 + tile] == 16);
            assert!(whole, "only whole tiles are emulated");
            TILES.set(Some(Box::new([[[0; 64]; 16]; 8])));
        }
        (0x4b, 3) => with(|tiles| {
            for (row, bytes) in tiles[tile].iter_mut().enumerate() {
                // SAFETY: the operand is 16 rows of 64 bytes.
                *bytes = unsafe { ((address + row as i64 * stride) as *const [u8; 64]).read() };
            }
        }),
        (0x4b, 2) => with(|tiles| {
            for (row, bytes) in tiles[tile].iter().enumerate() {
                // SAFETY: as above.
                unsafe { ((address + row as i64 * stride) as *mut [u8; 64]).write(*bytes) };
            }
        }),
        _ => return None,
    }
    Some(length)
}

fn with(work: impl FnOnce(&mut [Tile; 8])) {
    TILES.with_borrow_mut(|tiles| work(tiles.as_mut().expect("tiles have shapes before they are used")));
}

/// Address, stride and the instruction's length of an operand in memory: `[base + index * scale + displacement]`, where
/// the scaled index is the stride.
///
/// # Safety
/// `code` points to the instruction.
unsafe fn operand(code: *const u8, first: u8, modrm: u8, registers: &[i64]) -> (i64, i64, i64) {
    /// In the order of their numbers.
    const REGISTERS: [libc::c_int; 16] = [
        libc::REG_RAX,
        libc::REG_RCX,
        libc::REG_RDX,
        libc::REG_RBX,
        libc::REG_RSP,
        libc::REG_RBP,
        libc::REG_RSI,
        libc::REG_RDI,
        libc::REG_R8,
        libc::REG_R9,
        libc::REG_R10,
        libc::REG_R11,
        libc::REG_R12,
        libc::REG_R13,
        libc::REG_R14,
        libc::REG_R15,
    ];
    let register = |number: u8| registers[REGISTERS[usize::from(number)] as usize];
    let (more_index, more_base) = (u8::from(first & 0x40 == 0) * 8, u8::from(first & 0x20 == 0) * 8);
    let mut length = 5;
    let (base, stride) = if modrm & 7 == 4 {
        length = 6;
        // SAFETY: there is such a byte where the operand's byte says so.
        let sib = unsafe { *code.add(5) };
        let index = (sib >> 3 & 7) + more_index;
        let stride = if index == 4 { 0 } else { register(index) << (sib >> 6) };
        (register((sib & 7) + more_base), stride)
    } else {
        (register((modrm & 7) + more_base), 0)
    };
    // SAFETY: there are as many bytes as the operand's byte says.
    let displacement = unsafe {
        match modrm >> 6 {
            1 => i64::from(code.add(length).cast::<i8>().read()),
            2 => i64::from(code.add(length).cast::<i32>().read_unaligned()),
            _ => 0,
        }
    };
    length += [0, 1, 4][usize::from(modrm >> 6)];
    (base + displacement, stride, length as i64)
}

/// TDPBUSD: every sum takes in four products of unsigned bytes with signed ones, 16 times.
fn bytes(mut sums: Tile, a: &Tile, b: &Tile) -> Tile {
    for (sums, a) in sums.iter_mut().zip(a) {
        for (column, sum) in sums.chunks_exact_mut(4).enumerate() {
            let mut total = i32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
            for (a, b) in a.chunks_exact(4).zip(b) {
                for (a, b) in a.iter().zip(&b[4 * column..]) {
                    total = total.wrapping_add(i32::from(*a) * i32::from(b.cast_signed()));
                }
            }
            sum.copy_from_slice(&total.to_le_bytes());
        }
    }
    sums
}

/// TDPBF16PS: every sum takes in two products of bfloat16, 16 times.
fn bf16(mut sums: Tile, a: &Tile, b: &Tile) -> Tile {
    let wide = |low: u8, high: u8| f32::from_bits(u32::from_le_bytes([0, 0, low, high]));
    for (sums, a) in sums.iter_mut().zip(a) {
        for (column, sum) in sums.chunks_exact_mut(4).enumerate() {
            let mut total = f32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
            for (a, b) in a.chunks_exact(4).zip(b) {
                let b = &b[4 * column..];
                total = wide(a[0], a[1]).mul_add(wide(b[0], b[1]), total);
                total = wide(a[2], a[3]).mul_add(wide(b[2], b[3]), total);
            }
            sum.copy_from_slice(&total.to_le_bytes());
        }
    }
    sums
}
