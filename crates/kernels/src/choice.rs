//! Which kernels compute on this processor.

use crate::attention::{self, Format};
use crate::{linear, simd};

/// What is computed, and with which instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Such as `products in bytes`.
    pub what: &'static str,
    /// Such as `AVX-512 VNNI`, `NEON` or `portable`.
    pub instruction_set: String,
}

/// The kernels that this processor gets, as the dispatch of each takes them. A format that it has no instructions for is
/// not among them.
pub fn chosen() -> Vec<Chosen> {
    let attention = |format: Format| attention::instruction_set(format).map(str::to_owned);
    let all = [
        ("products in float32", Some(linear::instruction_set_f32())),
        ("products in bfloat16", linear::instruction_set_bf16()),
        ("products in bytes", Some(linear::instruction_set_int8())),
        ("small products and vectors", Some(simd::instruction_set().to_owned())),
        ("attention in float32", attention(Format::F32)),
        ("attention in bfloat16", attention(Format::Bf16)),
        ("attention in bytes", attention(Format::Int8)),
    ];
    let known = all.into_iter().filter_map(|(what, instruction_set)| Some((what, instruction_set?)));
    known.map(|(what, instruction_set)| Chosen { what, instruction_set }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(what: &str) -> Option<String> {
        chosen().into_iter().find(|one| one.what == what).map(|one| one.instruction_set)
    }

    #[test]
    fn what_the_processor_has_is_what_is_chosen() {
        assert!(["products in float32", "products in bytes"].iter().all(|what| of(what).is_some()));
        assert_eq!(of("attention in float32"), of("small products and vectors"));
        assert_eq!(of("attention in bytes").is_some(), attention::is_supported(Format::Int8));
        // Where bfloat16 is multiplied, it is so in both.
        assert!(of("products in bfloat16").is_none_or(|name| of("attention in bfloat16") == Some(name)));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no processor's own instructions")]
    fn names_are_those_of_the_processors_features() {
        let has_512 = is_x86_feature_detected!("avx512f");
        let expected = match (has_512, is_x86_feature_detected!("avx2")) {
            (true, _) => "AVX-512",
            (false, true) => "AVX2",
            (false, false) => "portable",
        };
        assert_eq!(of("products in float32").as_deref(), Some(expected));
        assert_eq!(of("small products and vectors").as_deref(), Some(expected));
        let has_amx = crate::amx::Amx::detect().is_some();
        let vnni = has_512 && is_x86_feature_detected!("avx512vnni");
        let bytes = match (has_amx, vnni) {
            (true, _) => "AMX",
            (false, true) => "AVX-512 VNNI",
            (false, false) => expected,
        };
        assert_eq!(of("products in bytes").as_deref(), Some(bytes));
        assert_eq!(of("attention in bytes").as_deref(), vnni.then_some("AVX-512 VNNI"));
        if has_amx {
            assert_eq!(of("attention in bfloat16").as_deref(), Some("AMX"));
        } else if !is_x86_feature_detected!("avx512bf16") {
            assert_eq!(of("attention in bfloat16").as_deref(), Some(expected));
        }
    }
}
