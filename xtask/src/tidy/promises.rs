//! Rules for what the documentation of a public function promises.

use super::{
    masked::{line, words},
    tree::Text,
};

/// Where users call functions that wait.
const LIBRARY: &str = "crates/taiwa/src/";

/// Finds public async functions of the library whose documentation does not say what becomes of them when
/// their future is dropped.
pub(super) fn cancellation(texts: &[Text]) -> Vec<String> {
    let mut faults = vec![];
    for text in texts.iter().filter(|it| it.is_rust() && it.path.starts_with(LIBRARY)) {
        let code = text.without_tests();
        for at in words(code, "fn").filter(|at| is_public_and_async(&code[..*at])) {
            let name = code[at + 2..].trim_start();
            let name = name.split(|it: char| !it.is_alphanumeric() && it != '_').next();
            let number = line(&text.content, at);
            if !documentation(&text.content, number).contains("ancel") {
                faults.push(format!(
                    "{}:{number}: pub async fn {} does not say whether it is cancel-safe",
                    text.path,
                    name.unwrap_or_default(),
                ));
            }
        }
    }
    faults
}

/// Tells whether the code before `fn` makes it public to users and async.
fn is_public_and_async(before: &str) -> bool {
    let item = before.rsplit(['\n', ';', '{', '}']).next().unwrap_or_default();
    let mut words = item.split_whitespace();
    words.next() == Some("pub") && words.any(|it| it == "async")
}

/// Returns the comment lines above a line, past attributes.
fn documentation(content: &str, number: usize) -> String {
    let above: Vec<&str> = content.lines().take(number - 1).map(str::trim).collect();
    let is_above = |it: &&&str| !it.is_empty() && !it.ends_with(['{', '}', ';']);
    let lines = above.iter().rev().take_while(|it| it.starts_with("//") || is_above(it));
    lines.filter(|it| it.starts_with("///")).copied().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[track_caller]
    fn check(source: &str, names: &[&str]) {
        let faults = cancellation(&[text("crates/taiwa/src/a.rs", source)]);
        let found = faults.iter().map(|it| it.split(' ').nth(4).unwrap_or_default());
        assert_eq!(found.collect::<Vec<_>>(), names, "{faults:?}");
    }

    #[test]
    fn every_public_function_that_waits_says_what_it_promises() {
        let good = "/// Waits.\n///\n/// Cancel-safe.\n#[cfg(unix)]\npub async fn good() {}\n";
        check(good, &[]);
        check("/// Not cancel-safe: bytes are lost.\n    pub async fn good(x: u8) {}", &[]);
        check("/// Waits.\npub async fn bad() {}", &["bad"]);
        check("pub async fn undocumented() {}", &["undocumented"]);
        check("/// Cancel-safe.\nfn other() {}\n\n/// No.\npub async fn bad() {}", &["bad"]);
        check("/// Cancel-safe.\nfn other() {}\n/// No.\npub async fn bad() {}", &["bad"]);
        check("/// No.\npub const async unsafe fn bad() {}", &["bad"]);
    }

    #[test]
    fn what_users_do_not_call_need_not_say_it() {
        check("/// Waits.\npub(crate) async fn ours() {}", &[]);
        check("/// Waits.\nasync fn ours() {}", &[]);
        check("/// Does not wait.\npub fn quick() {}", &[]);
        check("// pub async fn in_a_comment() {}\nconst X: &str = \"pub async fn text()\";", &[]);
        check("#[cfg(test)]\nmod tests {\n    pub async fn of_a_test() {}\n}\n", &[]);
        let elsewhere = text("crates/server/src/a.rs", "pub async fn elsewhere() {}");
        assert_eq!(cancellation(&[elsewhere]), [""; 0]);
    }
}
