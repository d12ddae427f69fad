//! Filters on tags, as clients write them.

use taiwa_core::Filter;

use crate::wire::FilterNode;

/// Turns a filter into the hub's; `None` if it is not well formed.
pub(super) fn filter(node: &FilterNode) -> Option<Filter> {
    let all = || node.nodes.iter().map(filter).collect::<Option<Box<[Filter]>>>();
    match (node.op.as_str(), node.nodes.len()) {
        ("", 0) => comparison(node),
        ("and", 1..) => Some(Filter::And(all()?)),
        ("or", 1..) => Some(Filter::Or(all()?)),
        ("not", 1) => Some(Filter::Not(Box::new(filter(&node.nodes[0])?))),
        _ => None,
    }
}

fn comparison(node: &FilterNode) -> Option<Filter> {
    let key = || -> Option<Box<str>> { (!node.key.is_empty()).then(|| node.key.as_str().into()) };
    let one = node.vals.is_empty() && !node.val.is_empty();
    let many = !node.vals.is_empty() && node.val.is_empty();
    let none = node.vals.is_empty() && node.val.is_empty();
    let val = || -> Box<str> { node.val.as_str().into() };
    let vals = || node.vals.iter().map(|it| it.as_str().into()).collect();
    Some(match node.cmp.as_str() {
        "eq" if one => Filter::Equals(key()?, val()),
        "neq" if one => not(Filter::Equals(key()?, val())),
        "in" if many => Filter::In(key()?, vals()),
        "nin" if many => not(Filter::In(key()?, vals())),
        "ex" if none => Filter::Exists(key()?),
        "nex" if none => not(Filter::Exists(key()?)),
        "sw" if one => Filter::StartsWith(key()?, val()),
        "ew" if one => Filter::EndsWith(key()?, val()),
        "ct" if one => Filter::Contains(key()?, val()),
        "lt" if one => Filter::Below(key()?, val()),
        "lte" if one => Filter::AtMost(key()?, val()),
        "gt" if one => Filter::Above(key()?, val()),
        "gte" if one => Filter::AtLeast(key()?, val()),
        _ => return None,
    })
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(key: &str, cmp: &str, val: &str, vals: &[&str]) -> FilterNode {
        FilterNode {
            key: key.into(),
            cmp: cmp.into(),
            val: val.into(),
            vals: vals.iter().map(|it| it.to_string()).collect(),
            ..FilterNode::default()
        }
    }

    fn node(op: &str, nodes: &[FilterNode]) -> FilterNode {
        FilterNode { op: op.into(), nodes: nodes.into(), ..FilterNode::default() }
    }

    #[track_caller]
    fn check(node: &FilterNode, expected: Option<&str>) {
        let found = filter(node).map(|it| format!("{it:?}"));
        assert_eq!(found.as_deref(), expected, "{node:?}");
    }

    #[test]
    fn comparisons_become_the_hubs() {
        for (cmp, expected) in [
            ("eq", r#"Equals("k", "v")"#),
            ("neq", r#"Not(Equals("k", "v"))"#),
            ("sw", r#"StartsWith("k", "v")"#),
            ("ew", r#"EndsWith("k", "v")"#),
            ("ct", r#"Contains("k", "v")"#),
            ("lt", r#"Below("k", "v")"#),
            ("lte", r#"AtMost("k", "v")"#),
            ("gt", r#"Above("k", "v")"#),
            ("gte", r#"AtLeast("k", "v")"#),
        ] {
            check(&leaf("k", cmp, "v", &[]), Some(expected));
            check(&leaf("k", cmp, "", &["v"]), None);
            check(&leaf("", cmp, "v", &[]), None);
        }
        check(&leaf("k", "in", "", &["a", "b"]), Some(r#"In("k", ["a", "b"])"#));
        check(&leaf("k", "nin", "", &["a"]), Some(r#"Not(In("k", ["a"]))"#));
        check(&leaf("k", "in", "v", &[]), None);
        check(&leaf("k", "ex", "", &[]), Some(r#"Exists("k")"#));
        check(&leaf("k", "nex", "", &[]), Some(r#"Not(Exists("k"))"#));
        check(&leaf("k", "ex", "v", &[]), None);
        check(&leaf("k", "like", "v", &[]), None);
    }

    #[test]
    fn nodes_have_the_nodes_they_need() {
        let (good, bad) = (leaf("k", "ex", "", &[]), leaf("k", "", "", &[]));
        check(
            &node("and", &[good.clone(), good.clone()]),
            Some(r#"And([Exists("k"), Exists("k")])"#),
        );
        check(&node("or", std::slice::from_ref(&good)), Some(r#"Or([Exists("k")])"#));
        check(&node("not", std::slice::from_ref(&good)), Some(r#"Not(Exists("k"))"#));
        check(&node("not", &[good.clone(), good.clone()]), None);
        check(&node("and", &[]), None);
        check(&node("or", &[good.clone(), bad]), None);
        check(&node("xor", &[good]), None);
    }
}
