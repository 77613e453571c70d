//! Functions of input processing that decide something, and the requirements that they decide by.
//!
//! From any branch there one step leads to its clause: the function that holds it has a comment with
//! a requirement inside it or just above it, or says why no RFC has a word in it:
//!
//! ```text
//! //= none: REASON
//! ```

use crate::map::Problem;
use crate::scan::{Comment, Names, Place, Says};
use proc_macro2::Span;
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The files of input processing, by the beginning of their path.
const INPUT: [&str; 3] = [
    "engine/tcp/src/input/",
    "engine/tcp/src/listen.rs",
    "engine/tcp/src/time_wait.rs",
];

/// A function of input processing with a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decider {
    /// Its name.
    pub name: String,
    /// Where it begins: the line of its name.
    pub place: Place,
    /// The requirements that it names.
    pub names: Vec<Names>,
    /// Why it names none.
    pub exempt: Option<String>,
}

impl Decider {
    fn problem(&self) -> Option<Problem> {
        let what = match (self.names.is_empty(), &self.exempt) {
            (true, None) => "decides something and names no requirement",
            (false, Some(_)) => "names a requirement, so it is not exempt",
            _ => return None,
        };
        Some(Problem::new(&self.place, format!("{} {what}", self.name)))
    }
}

/// The file is one of input processing.
pub(crate) fn is_input(file: &str) -> bool {
    INPUT.iter().any(|start| file.starts_with(start))
}

/// The functions with a branch in one file of input processing, and what is wrong with them.
/// `comments` are those of the file.
///
/// # Errors
/// The file is no Rust.
pub(crate) fn deciders(
    file: &str,
    text: &str,
    comments: &[Comment],
) -> Result<(Vec<Decider>, Vec<Problem>), String> {
    let parsed = syn::parse_file(text).map_err(|error| format!("{file}: {error}"))?;
    let mut functions = Functions::default();
    functions.visit_file(&parsed);
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut used = Vec::new();
    for function in functions.0 {
        let span = with_comments_above(&function.lines, &lines);
        let within = |comment: &&Comment| span.contains(&comment.place.line);
        let mut decider = Decider {
            name: function.name,
            place: Place {
                file: file.to_owned(),
                line: function.at,
            },
            names: Vec::new(),
            exempt: None,
        };
        for comment in comments.iter().filter(within) {
            match &comment.says {
                Says::Names(names) if !names.ids.is_empty() => decider.names.push(names.clone()),
                Says::Exempt(why) => {
                    used.push(comment.place.line);
                    decider.exempt = Some(why.clone());
                }
                _ => {}
            }
        }
        found.push(decider);
    }
    let mut problems: Vec<Problem> = found.iter().filter_map(Decider::problem).collect();
    let idle = comments.iter().filter(|comment| {
        matches!(comment.says, Says::Exempt(_)) && !used.contains(&comment.place.line)
    });
    problems.extend(idle.map(|comment| {
        let what = "exempts nothing: there is no function with a branch";
        Problem::new(&comment.place, what.to_owned())
    }));
    Ok((found, problems))
}

/// Comments just above a function belong to it, whatever stands between them and its attributes.
fn with_comments_above(function: &RangeInclusive<usize>, lines: &[&str]) -> RangeInclusive<usize> {
    let above = lines.get(..function.start() - 1).unwrap_or_default();
    let comments = above
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with("//"))
        .count();
    function.start() - comments..=*function.end()
}

/// A function with a branch. Lines count from 1.
struct Function {
    name: String,
    at: usize,
    lines: RangeInclusive<usize>,
}

/// Finds functions with a branch, those of tests left out.
#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn take(&mut self, name: &syn::Ident, whole: Span, body: &syn::Block) {
        let mut branches = Branches(false);
        branches.visit_block(body);
        if branches.0 {
            self.0.push(Function {
                name: name.to_string(),
                at: name.span().start().line,
                lines: whole.start().line..=whole.end().line,
            });
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.take(&item.sig.ident, item.span(), &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.take(&item.sig.ident, item.span(), &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.take(&item.sig.ident, item.span(), body);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = |attr: &syn::Attribute| {
            attr.path().is_ident("cfg")
                && attr
                    .parse_args::<syn::Path>()
                    .is_ok_and(|path| path.is_ident("test"))
        };
        if !item.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, item);
        }
    }
}

/// Whether a body has a branch, those of functions within it left out.
struct Branches(bool);

impl<'ast> Visit<'ast> for Branches {
    fn visit_expr(&mut self, expr: &'ast syn::Expr) {
        use syn::Expr::{If, Match, Try, While};
        self.0 |= matches!(expr, If(_) | Match(_) | Try(_) | While(_));
        visit::visit_expr(self, expr);
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        self.0 |= local
            .init
            .as_ref()
            .is_some_and(|init| init.diverge.is_some());
        visit::visit_local(self, local);
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::comments_in;

    const FILE: &str = "engine/tcp/src/input/a.rs";

    fn check(text: &str) -> (Vec<Decider>, Vec<String>) {
        let (found, problems) = deciders(FILE, text, &comments_in(FILE, text)).unwrap();
        let problems = problems.iter().map(|problem| problem.to_string()).collect();
        (found, problems)
    }

    fn problems(text: &str) -> Vec<String> {
        check(text).1
    }

    #[test]
    fn every_kind_of_branch_needs_a_requirement() {
        for branch in [
            "if a { b(); }",
            "let c = if a { 1 } else { 2 };",
            "match a { _ => {} }",
            "b()?;",
            "let Some(c) = a else { return; };",
            "if let Some(c) = a { c(); }",
            "while a { b(); }",
            "let c = d.map(|e| if e { 1 } else { 2 });",
            "for c in d { if c { b(); } }",
        ] {
            let bare = format!("fn f() {{\n    {branch}\n}}\n");
            let expected = format!("{FILE}:1: f decides something and names no requirement");
            assert_eq!(problems(&bare), [expected], "{branch}");
            assert_eq!(problems(&format!("//= rfc1 2 S2-1\n{bare}")), [""; 0]);
        }
        let straight = "fn f() -> bool {\n    let a = b() && c();\n    a\n}\n";
        assert_eq!(check(straight), (vec![], vec![]));
    }

    #[test]
    fn a_requirement_inside_or_just_above_counts_and_no_other() {
        let inside = "fn f() {\n    //= rfc1 2 S2-1\n    if a {}\n}\n";
        let above = "//= rfc1 2 S2-1\n/// Doc.\n// Why.\n#[inline]\nfn f() {\n    if a {}\n}\n";
        let between = "/// Doc.\n#[inline]\n//= rfc1 2 S2-1\nfn f() {\n    if a {}\n}\n";
        for good in [inside, above, between] {
            let (found, problems) = check(good);
            assert_eq!(problems, [""; 0], "{good}");
            assert_eq!(found[0].names[0].ids, ["S2-1"], "{good}");
        }
        for bad in [
            "//= rfc1 2 S2-1\n\nfn f() {\n    if a {}\n}\n",
            "//= rfc1 2\nfn f() {\n    if a {}\n}\n",
            "fn f() {\n    if a {}\n}\n//= rfc1 2 S2-1\nfn g() {}\n",
            "//= rfc1 2 S2-1\nfn g() {}\nfn f() {\n    if a {}\n}\n",
        ] {
            assert_eq!(problems(bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn functions_of_types_and_traits_count_and_those_of_tests_do_not() {
        let decides = "fn f() {\n    if a {}\n}\n";
        assert_eq!(problems(&format!("impl A {{\n{decides}}}\n")).len(), 1);
        assert_eq!(problems(&format!("trait A {{\n{decides}}}\n")).len(), 1);
        assert_eq!(problems(&format!("mod a {{\n{decides}}}\n")).len(), 1);
        let test = format!("#[cfg(test)]\nmod a {{\n{decides}}}\n");
        assert_eq!(check(&test), (vec![], vec![]));
        // The inner one decides, and the outer one does not.
        let inner = format!("fn g() {{\n{decides}}}\n");
        let expected = format!("{FILE}:2: f decides something and names no requirement");
        assert_eq!(problems(&inner), [expected]);
    }

    #[test]
    fn an_exemption_has_a_reason_and_a_use() {
        let decides = "fn f() {\n    if a {}\n}\n";
        let (found, none) = check(&format!("//= none: housekeeping\n{decides}"));
        assert_eq!(none, [""; 0]);
        assert_eq!(found[0].exempt.as_deref(), Some("housekeeping"));
        // Without a reason it is no exemption.
        assert_eq!(problems(&format!("//= none: \n{decides}")).len(), 1);
        let both = format!("//= none: housekeeping\n//= rfc1 2 S2-1\n{decides}");
        let expected = format!("{FILE}:3: f names a requirement, so it is not exempt");
        assert_eq!(problems(&both), [expected]);
        let expected = format!("{FILE}:1: exempts nothing: there is no function with a branch");
        assert_eq!(problems("//= none: housekeeping\nfn f() {}\n"), [expected]);
    }

    #[test]
    fn what_is_no_rust_is_an_error() {
        let error = deciders(FILE, "fn f( {", &[]).unwrap_err();
        assert!(error.starts_with(FILE), "{error}");
    }
}
