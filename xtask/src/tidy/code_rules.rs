//! The rules over one Rust file.

use super::Rule;
use super::source::{Source, find_words, has_word};

/// How far above the code its tag may stand: a comment, an attribute and a wrapped call.
const TAG_DISTANCE: usize = 12;

/// How far above a `thread::sleep` its reason may stand.
const SLEEP_DISTANCE: usize = 3;

const LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "unsafe-reason",
        why: "whoever changes the code must be able to check that each unsafe operation is still \
              sound: `SAFETY:` says why it is, `# Safety` what a caller owes",
        check: unsafe_reason,
    },
    Rule {
        name: "ordering-reason",
        why: "an ordering that nobody can explain is either too weak or too strong: `ORDERING:` \
              names the edge, its partner and what it publishes",
        check: ordering_reason,
    },
    Rule {
        name: "file-length",
        why: "a file is read in one sitting; split it by concept",
        check: file_length,
    },
    Rule { name: "line-length", why: "two files fit side by side", check: line_length },
    Rule {
        name: "unfinished",
        why: "what is not finished is not merged; a test that is ignored rots",
        check: unfinished,
    },
    Rule {
        name: "no-sleep",
        why: "a sleep hides a missing wake-up, and no duration is right on every machine",
        check: no_sleep,
    },
    Rule {
        name: "corosensei",
        why: "one crate knows how stacks are switched, so that one crate is to be proved; \
              benchmarks compare",
        check: stack_switching,
    },
    Rule {
        name: "no-threads",
        why: "topology and the wait list are plain data: who uses them decides about threads",
        check: no_threads,
    },
    Rule {
        name: "no-allocation",
        why: "the wait list never allocates: a wait must not fail, and wakers must not lock",
        check: no_allocation,
    },
];

fn unsafe_reason(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        for column in find_words(&line.code, "unsafe") {
            let code = source.code_from(at, column + "unsafe".len());
            let documented = match kind_of_unsafe(code.trim_start()) {
                Unsafe::Operation => source.has_tag_near(at, "SAFETY:", TAG_DISTANCE),
                Unsafe::Declaration => {
                    source.has_tag_near(at, "SAFETY:", TAG_DISTANCE) || has_safety_doc(source, at)
                }
                Unsafe::Type => true,
            };
            if !documented {
                found.push((at, "`unsafe` without `SAFETY:` (or `# Safety`) above it".into()));
            }
        }
    }
    found
}

enum Unsafe {
    /// A block, an `impl` or foreign declarations: this code vouches for something.
    Operation,
    /// A function or trait: its users vouch for something.
    Declaration,
    /// A function pointer's type, or an attribute.
    Type,
}

/// Tells what the code after the word `unsafe` makes of it.
fn kind_of_unsafe(code: &str) -> Unsafe {
    let code = match code.strip_prefix("extern") {
        // The ABI's name is blanked.
        Some(rest) => rest.trim_start().trim_start_matches('"').trim_start(),
        None => code,
    };
    if code.starts_with('{') || code.starts_with("impl") {
        return Unsafe::Operation;
    }
    match code.strip_prefix("fn") {
        Some(rest) if !rest.trim_start().starts_with('(') => Unsafe::Declaration,
        None if code.starts_with("trait") => Unsafe::Declaration,
        _ => Unsafe::Type,
    }
}

/// Tells whether the documentation directly above the item has a section `# Safety`.
fn has_safety_doc(source: &Source, item: usize) -> bool {
    let above = source.lines[..item].iter().rev();
    above
        .take_while(|line| {
            let raw = line.raw.trim_start();
            raw.starts_with("//") || raw.starts_with("#[") || raw.starts_with(')')
        })
        .any(|line| line.comment.contains("# Safety"))
}

fn ordering_reason(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in source.product_lines().filter(|(_, line)| !line.in_use) {
        for ordering in ["Acquire", "Release", "AcqRel", "SeqCst"] {
            if has_word(&line.code, ordering) && !source.has_tag_near(at, "ORDERING:", TAG_DISTANCE)
            {
                found.push((at, format!("`{ordering}` without `ORDERING:` above it")));
            }
        }
    }
    found
}

fn file_length(source: &Source) -> Vec<(usize, String)> {
    match source.lines.len() {
        0..=LINES_MAX => Vec::new(),
        count => vec![(LINES_MAX, format!("{count} lines, more than {LINES_MAX}"))],
    }
}

fn line_length(source: &Source) -> Vec<(usize, String)> {
    let long = source.lines.iter().enumerate().filter_map(|(at, line)| {
        let columns = line.raw.chars().count();
        (columns > COLUMNS_MAX).then(|| (at, format!("{columns} columns, more than {COLUMNS_MAX}")))
    });
    long.collect()
}

fn unfinished(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        for name in ["todo", "unimplemented", "dbg"] {
            let mut places = find_words(&line.code, name);
            if places.any(|place| line.code[place + name.len()..].starts_with('!')) {
                found.push((at, format!("`{name}!`")));
            }
        }
        if line.code.contains("#[ignore") {
            found.push((at, "`#[ignore]`".into()));
        }
    }
    found
}

fn no_sleep(source: &Source) -> Vec<(usize, String)> {
    let product: Vec<usize> = source.product_lines().map(|(at, _)| at).collect();
    let mut found = Vec::new();
    for (at, line) in source.lines.iter().enumerate() {
        if !line.code.contains("thread::sleep") {
            continue;
        }
        if product.contains(&at) {
            found.push((at, "`thread::sleep` in product code".into()));
        } else if !line.in_use && !source.has_tag_near(at, "SLEEP:", SLEEP_DISTANCE) {
            found.push((at, "`thread::sleep` without `SLEEP:` and a reason above it".into()));
        }
    }
    found
}

fn stack_switching(source: &Source) -> Vec<(usize, String)> {
    if source.krate() == Some("fiber-stack") || source.path.starts_with("benches/") {
        return Vec::new();
    }
    lines_with(source, &["corosensei"])
}

fn no_threads(source: &Source) -> Vec<(usize, String)> {
    if !matches!(source.krate(), Some("topology" | "intrusive-waitlist")) {
        return Vec::new();
    }
    product_lines_with(source, &["thread::spawn", "thread::Builder", "thread::scope"])
}

fn no_allocation(source: &Source) -> Vec<(usize, String)> {
    if source.krate() != Some("intrusive-waitlist") {
        return Vec::new();
    }
    product_lines_with(source, &["Box::", "Vec", "vec!", "format!", "Arc", "Rc", "String"])
}

fn lines_with(source: &Source, words: &[&str]) -> Vec<(usize, String)> {
    let lines = source.lines.iter().enumerate();
    lines.flat_map(|(at, line)| words_in(&line.code, words, at)).collect()
}

fn product_lines_with(source: &Source, words: &[&str]) -> Vec<(usize, String)> {
    source.product_lines().flat_map(|(at, line)| words_in(&line.code, words, at)).collect()
}

/// A word that ends in a mark may be followed by anything.
fn words_in(code: &str, words: &[&str], at: usize) -> Vec<(usize, String)> {
    let found = words.iter().filter(|word| match word.ends_with([':', '!']) {
        true => code.contains(**word),
        false => has_word(code, word),
    });
    found.map(|word| (at, format!("`{word}`"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT: &str = "crates/rustfiber/src/lib.rs";
    const TEST: &str = "crates/rustfiber/tests/join.rs";

    /// Checks one rule on texts that keep it and on texts that break it, in one place each.
    fn check(name: &str, path: &str, good: &[&str], bad: &[&str]) {
        let rule = RULES.iter().find(|rule| rule.name == name).unwrap();
        for text in good {
            let found = (rule.check)(&Source::new(path, text));
            assert!(found.is_empty(), "{name} on {path}: {found:?} in {text}");
        }
        for text in bad {
            let found = (rule.check)(&Source::new(path, text));
            assert_eq!(found.len(), 1, "{name} on {path}: {found:?} in {text}");
        }
    }

    #[test]
    fn unsafe_code_gives_its_reason() {
        let good = [
            "// SAFETY: valid.\nunsafe { f() };",
            "let a = unsafe { f() }; // SAFETY: valid.",
            "// SAFETY: one word.\nunsafe impl Send for A {}",
            "/// Does.\n///\n/// # Safety\n///\n/// Owe.\n#[inline]\npub unsafe fn f() {}",
            "/// # Safety\n///\n/// Owe.\npub unsafe extern \"C\" fn f() {}",
            "type F = unsafe extern \"C\" fn(usize);",
            "// unsafe { is only named }",
            "let text = \"unsafe { }\";",
        ];
        let bad = [
            "unsafe { f() };",
            "unsafe\n{ f() };",
            "/// Does.\npub unsafe fn f() {}",
            "unsafe impl Send for A {}",
            "unsafe extern \"C\" { fn f(); }",
            "/// Promises.\npub unsafe trait A {}",
        ];
        check("unsafe-reason", PRODUCT, &good, &bad);
        let far = format!("// SAFETY: valid.\n{}unsafe {{ f() }};", "\n".repeat(TAG_DISTANCE));
        check("unsafe-reason", TEST, &[], &[&far]);
    }

    #[test]
    fn strong_orderings_give_their_reason() {
        let good = [
            "use std::sync::atomic::Ordering::{\n    Acquire,\n    Release,\n};",
            "// ORDERING: Acquire, pairs with the store.\na.load(Acquire);",
            "a.load(Acquire); // ORDERING: pairs with the store.",
            "a.load(Relaxed);",
            "/// Released. `Acquire` in text.\nfn f() {}",
            "#[cfg(test)]\nmod tests {\n    fn f() { a.load(Acquire) }\n}",
        ];
        check("ordering-reason", PRODUCT, &good, &["a.load(Ordering::Acquire);", "fence(SeqCst)"]);
        check("ordering-reason", TEST, &["a.load(Ordering::Acquire);"], &[]);
    }

    #[test]
    fn files_and_lines_are_short() {
        let (full, over) = ("\n".repeat(LINES_MAX), "\n".repeat(LINES_MAX + 1));
        check("file-length", PRODUCT, &[&full], &[&over]);
        let (full, over) = ("ä".repeat(COLUMNS_MAX), "ä".repeat(COLUMNS_MAX + 1));
        check("line-length", PRODUCT, &[&full], &[&over]);
    }

    #[test]
    fn nothing_is_left_unfinished() {
        let good = ["// todo!()\nfn todo() {}", "let a = \"#[ignore]\";", "assert!(dbg);"];
        let bad = ["todo!()", "unimplemented!(\"f\")", "dbg!(a);", "#[ignore = \"slow\"]"];
        check("unfinished", TEST, &good, &bad);
    }

    #[test]
    fn nobody_sleeps_without_a_reason() {
        let reason = "// SLEEP: the clock is what is tested.\nthread::sleep(a);";
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n{reason}\n}}");
        check("no-sleep", PRODUCT, &[&in_tests], &[reason, "use std::thread::sleep;"]);
        check("no-sleep", TEST, &[reason, "thread::park();"], &["std::thread::sleep(a);"]);
    }

    #[test]
    fn one_crate_knows_of_corosensei() {
        let text = "use corosensei::Coroutine;";
        check(
            "corosensei",
            PRODUCT,
            &["// as corosensei does", "let a = \"corosensei\";"],
            &[text],
        );
        check("corosensei", "benches/src/suite/fibers.rs", &[text], &[]);
        check("corosensei", "crates/fiber-stack/src/fiber.rs", &[text], &[]);
    }

    #[test]
    fn plain_data_starts_no_thread() {
        let text = "std::thread::spawn(f);";
        check("no-threads", "crates/topology/src/lib.rs", &["thread::current()"], &[text]);
        check("no-threads", "crates/intrusive-waitlist/src/lib.rs", &[], &[text]);
        check("no-threads", "crates/topology/tests/live.rs", &[text], &[]);
        check("no-threads", PRODUCT, &[text], &[]);
    }

    #[test]
    fn the_wait_list_does_not_allocate() {
        let path = "crates/intrusive-waitlist/src/lib.rs";
        let good = ["// no Box::new here", "let vector = 1;"];
        check("no-allocation", path, &good, &["Box::new(a)", "let a: Vec<u8>;", "format!(\"\")"]);
        check("no-allocation", PRODUCT, &["Box::new(a)"], &[]);
    }
}
