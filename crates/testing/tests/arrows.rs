//! Compares which crates and modules import each other with the table in ARCHITECTURE.md, and checks that no modules
//! import each other in a cycle. Imports are read from `use` lines and paths; macros and generated code are not seen.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is how a failure is told")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The line before the table of imports in ARCHITECTURE.md, and the line after it.
const TABLE: (&str, &str) = ("```imports", "```");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The table's lines `name <- what it may import`. Top-level modules of a crate are `crate/module`.
fn allowed() -> Edges {
    let text = read(&root().join("ARCHITECTURE.md"));
    let table = text.split_once(TABLE.0).expect("ARCHITECTURE.md has a table of imports").1;
    let table = table.split_once(TABLE.1).expect("the table ends").0;
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, imports) =
                line.split_once("<-").unwrap_or_else(|| panic!("not name <- names: {line}"));
            (name.trim().to_owned(), imports.split_whitespace().map(str::to_owned).collect())
        })
        .collect()
}

fn crates() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("Cargo.toml").exists());
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The crates of this repository that a crate depends on, without those that only its tests need.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split_once("[dependencies]").map_or("", |(_, rest)| rest);
    let section = section.split_once("\n[").map_or(section, |(section, _)| section);
    let ours = section.lines().filter_map(|line| line.strip_prefix("verbatim-"));
    ours.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

/// Modules by their paths, such as `store::sqlite::leases`, with their text without tests. The crate's root is the
/// empty path.
fn modules(src: &Path) -> BTreeMap<String, String> {
    fn walk(dir: &Path, at: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let module = match stem.as_str() {
                "mod" | "lib" => at.to_owned(),
                _ if at.is_empty() => stem.clone(),
                _ => format!("{at}::{stem}"),
            };
            if path.is_dir() {
                walk(&path, &module, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") && stem != "main" {
                let text = read(&path);
                let without_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
                found.insert(module, without_tests);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(src, "", &mut found);
    // Modules that are only compiled for tests: those declared so, and the modules below them.
    let of_tests: BTreeSet<String> = found
        .iter()
        .flat_map(|(parent, text)| {
            let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
                let line = rest.lines().next()?.trim();
                line.strip_prefix("pub(crate) mod ").or(line.strip_prefix("mod "))?.strip_suffix(';')
            });
            declared.map(
                move |child| if parent.is_empty() { child.to_owned() } else { format!("{parent}::{child}") },
            )
        })
        .collect();
    found.retain(|module, _| {
        let is_below = |test: &String| module == test || module.starts_with(&format!("{test}::"));
        !of_tests.iter().any(is_below) && !module.ends_with("::tests") && module != "tests"
    });
    found
}

/// The paths that a text names from the root of its crate: `crate::a::b`, `super::c`, also within braces.
fn paths(module: &str, text: &str) -> Vec<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| is_word(c) || c == ':') {
                continue;
            }
            let mut base = if start == "crate::" { Some(String::new()) } else { parent(module) };
            let mut rest = &code[at + start.len()..];
            while let Some(further) = rest.strip_prefix("super::") {
                base = base.as_deref().and_then(parent);
                rest = further;
            }
            let Some(base) = base else { continue };
            let head: String = rest.chars().take_while(|c| is_word(*c) || *c == ':').collect();
            let after = &rest[head.len()..];
            let items: Vec<String> = match after.strip_prefix('{') {
                Some(list) if head.is_empty() || head.ends_with("::") => first_level(list),
                _ => vec![String::new()],
            };
            for item in items {
                let joined = format!("{base}::{head}::{item}");
                let parts: Vec<&str> = joined.split("::").filter(|part| !part.is_empty()).collect();
                found.push(parts.join("::"));
            }
        }
    }
    found
}

fn parent(module: &str) -> Option<String> {
    if module.is_empty() {
        return None;
    }
    Some(module.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned()))
}

/// The items of a list in braces, without those in nested braces.
fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(std::mem::take(&mut item)),
            c if depth == 0 && !c.is_whitespace() => item.push(c),
            _ => {}
        }
    }
    items.push(item);
    items
}

/// Pairs of a module and a module that it names, by their full paths.
fn imports(src: &Path) -> Vec<(String, String)> {
    let modules = modules(src);
    let mut found = Vec::new();
    for (module, text) in &modules {
        for path in paths(module, text) {
            let mut target = path;
            while !modules.contains_key(&target) {
                match parent(&target) {
                    Some(shorter) => target = shorter,
                    None => break,
                }
            }
            if !target.is_empty() && target != *module {
                found.push((module.clone(), target));
            }
        }
    }
    found
}

/// The module directly below `at` on the path to `module`.
fn child(at: &str, module: &str) -> String {
    let below = if at.is_empty() { module } else { &module[at.len() + 2..] };
    let first = below.split("::").next().unwrap();
    if at.is_empty() { first.to_owned() } else { format!("{at}::{first}") }
}

/// The deepest module that both are below; `None` if one is below the other.
fn meeting(a: &str, b: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split("::").collect(), b.split("::").collect());
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    (same < a.len() && same < b.len()).then(|| a[..same].join("::"))
}

/// The modules of a cycle, if there is one.
fn cycle(edges: &Edges) -> Option<Vec<String>> {
    fn visit(
        at: &str,
        edges: &Edges,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(position) = path.iter().position(|module| module == at) {
            return Some(path[position..].to_vec());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        path.push(at.to_owned());
        let found = edges.get(at).into_iter().flatten().find_map(|next| visit(next, edges, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|module| visit(module, edges, &mut Vec::new(), &mut done))
}

#[test]
fn no_modules_import_each_other_in_a_cycle() {
    let mut cycles = Vec::new();
    for path in crates() {
        let mut siblings: BTreeMap<String, Edges> = BTreeMap::new();
        for (from, to) in imports(&path.join("src")) {
            if let Some(at) = meeting(&from, &to) {
                let edges = siblings.entry(at.clone()).or_default();
                edges.entry(child(&at, &from)).or_default().insert(child(&at, &to));
            }
        }
        cycles.extend(siblings.values().filter_map(cycle).map(|cycle| format!("{}: {cycle:?}", name(&path))));
    }
    assert!(cycles.is_empty(), "modules that import each other:\n{}", cycles.join("\n"));
}

#[test]
fn crates_and_modules_import_exactly_what_architecture_lists() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut check = |name: String, imports: BTreeSet<String>| {
        match allowed.get(&name) {
            None => wrong.push(format!("{name} is not in the table")),
            Some(allowed) => {
                wrong.extend(imports.difference(allowed).map(|import| format!("{name} imports {import}")));
                wrong.extend(
                    allowed.difference(&imports).map(|gone| format!("{name} does not import {gone}")),
                );
            }
        }
        seen.insert(name);
    };
    for path in crates() {
        check(name(&path), dependencies(&read(&path.join("Cargo.toml"))));
    }
    let server = root().join("crates/server/src");
    let mut rooms: Edges = modules(&server)
        .keys()
        .filter(|module| !module.is_empty())
        .map(|module| (child("", module), BTreeSet::new()))
        .collect();
    for (from, to) in imports(&server) {
        let (from, to) = (child("", &from), child("", &to));
        if !from.is_empty() && from != to {
            rooms.entry(from).or_default().insert(to);
        }
    }
    for (room, imports) in rooms {
        check(format!("server/{room}"), imports);
    }
    wrong.extend(
        allowed.keys().filter(|name| !seen.contains(*name)).map(|name| format!("there is no {name}")),
    );
    assert!(wrong.is_empty(), "ARCHITECTURE.md and the code differ:\n{}", wrong.join("\n"));
}

#[test]
fn paths_are_read_from_use_lines_and_from_code() {
    let text = "use super::{a::B, c, D};\nuse crate::{e, f::{g, H}};\n// crate::no\nlet x = crate::i::j::K::new(super::super::l::m());";
    let found = paths("p::q::r", text);
    assert_eq!(
        found,
        ["e", "f::", "i::j::K::new", "p::q::a::B", "p::q::c", "p::q::D", "p::l::m"]
            .map(|path| path.trim_end_matches("::"))
    );
}
