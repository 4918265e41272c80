//! What a file declares: functions, types with their derives, modules; and which lines are tests.

use std::ops::RangeInclusive;

use syn::{Attribute, spanned::Spanned, visit::Visit};

/// The declarations of one file.
#[derive(Default)]
pub(crate) struct Outline {
    pub(crate) functions: Vec<Function>,
    pub(crate) types: Vec<Type>,
    pub(crate) modules: Vec<Module>,
    /// Lines from 1.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
    /// Depth of trait implementations around the visitor: their names are chosen by the trait.
    inside_trait_impl: usize,
}

/// A function or a method with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
    /// The name is ours, not one that a foreign trait asks for.
    pub(crate) is_named_here: bool,
}

/// A struct or an enum.
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) derives: Vec<String>,
}

/// A module declaration.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// `#[cfg(test)] mod name;` whose body is another file.
    pub(crate) is_test_file: bool,
}

impl Outline {
    pub(crate) fn of(file: &syn::File) -> Outline {
        let mut outline = Outline::default();
        outline.visit_file(file);
        outline
    }

    fn note_test(&mut self, attributes: &[Attribute], item: &impl Spanned) {
        if attributes.iter().any(is_test_attribute) {
            let span = item.span();
            self.test_lines.push(span.start().line..=span.end().line);
        }
    }

    fn note_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let line = signature.span().start().line;
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: body.span().end().line + 1 - line,
            is_named_here: self.inside_trait_impl == 0,
        });
    }

    fn note_type(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
        let mut names = Vec::new();
        for derive in derives {
            // An attribute that does not parse as a list of paths is the compiler's to refuse.
            let _ = derive.parse_nested_meta(|meta| {
                names.extend(meta.path.segments.last().map(|segment| segment.ident.to_string()));
                Ok(())
            });
        }
        self.types.push(Type { name: name.to_string(), line: name.span().start().line, derives: names });
    }
}

impl<'ast> Visit<'ast> for Outline {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note_test(&item.attrs, item);
        self.note_function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note_test(&item.attrs, item);
        self.note_function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note_test(&item.attrs, item);
        let by_trait = usize::from(item.trait_.is_some());
        self.inside_trait_impl += by_trait;
        syn::visit::visit_item_impl(self, item);
        self.inside_trait_impl -= by_trait;
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.note_test(&item.attrs, item);
        let is_test_file = item.content.is_none() && item.attrs.iter().any(is_test_attribute);
        self.modules.push(Module { name: item.ident.to_string(), line: item.ident.span().start().line, is_test_file });
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.note_test(&item.attrs, item);
        self.note_type(&item.ident, &item.attrs);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.note_test(&item.attrs, item);
        self.note_type(&item.ident, &item.attrs);
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(any(test, …))]`; not `#[cfg(not(test))]`.
fn is_test_attribute(attribute: &Attribute) -> bool {
    if attribute.path().segments.last().is_some_and(|segment| segment.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let words = list.tokens.to_string();
    let names_test = words.split(|sign: char| !sign.is_alphanumeric() && sign != '_').any(|word| word == "test");
    list.path.is_ident("cfg") && names_test && !words.contains("not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_types_and_tests_are_seen() {
        let text = "#[derive(Clone, Debug)]\nstruct A;\nimpl A {\n    fn one(&self) {\n    }\n}\nimpl Tr for A {\n    fn get_x() {}\n}\n#[cfg(test)]\nmod tests {\n    fn two() {}\n}\n#[cfg(test)]\nmod more;\n";
        let outline = Outline::of(&syn::parse_file(text).unwrap());
        assert_eq!(outline.types[0].derives, ["Clone", "Debug"]);
        let seen: Vec<_> = outline.functions.iter().map(|f| (f.name.as_str(), f.line, f.lines, f.is_named_here)).collect();
        assert_eq!(seen, [("one", 4, 2, true), ("get_x", 8, 1, false), ("two", 12, 1, true)]);
        assert_eq!(outline.test_lines, [10..=13, 14..=15]);
        assert!(outline.modules[1].is_test_file);
    }
}
