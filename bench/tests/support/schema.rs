//! Checks JSON against a schema of this repository, which uses a small part of JSON Schema. Stricter
//! than the schemas are for their readers: a field that is not described is a fault.

use serde_json::{Map, Value};

/// What is wrong with `value`, a line each, with the path to it.
pub(crate) fn faults(schema: &str, value: &Value) -> Vec<String> {
    let root: Value = serde_json::from_str(schema).expect("the schema is JSON");
    let mut check = Check {
        root: &root,
        faults: Vec::new(),
    };
    check.value(&root, value, "$");
    check.faults
}

struct Check<'a> {
    root: &'a Value,
    faults: Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, path: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{path}: {what}"));
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let keywords = schema.as_object().expect("a schema is an object");
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" => {}
                "$ref" => {
                    let pointer = rule.as_str().and_then(|to| to.strip_prefix('#'));
                    let found = pointer.and_then(|pointer| self.root.pointer(pointer));
                    let found = found
                        .unwrap_or_else(|| panic!("{rule} is not there"))
                        .clone();
                    self.value(&found, value, path);
                }
                "anyOf" => self.any_of(rule, value, path),
                "type" => {
                    if !is_of_type(rule, value) {
                        self.fault(path, format!("{value} is not of type {rule}"));
                    }
                }
                "const" if rule != value => self.fault(path, format!("{value} is not {rule}")),
                "enum" if !list(rule).contains(value) => {
                    self.fault(path, format!("{value} is not in {rule}"));
                }
                "minimum" if below(value, rule) => self.fault(path, format!("{value} < {rule}")),
                "maximum" if below(rule, value) => self.fault(path, format!("{value} > {rule}")),
                "const" | "enum" | "minimum" | "maximum" => {}
                "required" => {
                    for name in list(rule) {
                        if value.get(name.as_str().expect("a name")).is_none() {
                            self.fault(path, format!("{name} is missing"));
                        }
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(rule, item, &format!("{path}[{index}]"));
                    }
                }
                "properties" | "additionalProperties" => {}
                other => panic!("this check does not know {other}"),
            }
        }
        if let Some(fields) = value.as_object() {
            self.fields(keywords, fields, path);
        }
    }

    fn any_of(&mut self, rule: &Value, value: &Value, path: &str) {
        let before = self.faults.len();
        for choice in list(rule) {
            let from = self.faults.len();
            self.value(choice, value, path);
            if self.faults.len() == from {
                self.faults.truncate(before);
                return;
            }
        }
    }

    fn fields(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>, path: &str) {
        if schema.contains_key("$ref") || schema.contains_key("anyOf") {
            return;
        }
        for (name, field) in fields {
            let path = format!("{path}.{name}");
            let described = schema.get("properties").and_then(|known| known.get(name));
            match described.or_else(|| schema.get("additionalProperties")) {
                Some(rule) => self.value(rule, field, &path),
                None => self.fault(&path, "the schema does not describe it"),
            }
        }
    }
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("a list")
}

fn below(value: &Value, bound: &Value) -> bool {
    matches!((value.as_f64(), bound.as_f64()), (Some(value), Some(bound)) if value < bound)
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    match rule {
        Value::Array(types) => types.iter().any(|rule| is_of_type(rule, value)),
        Value::String(name) => match name.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "integer" => value.is_u64() || value.is_i64(),
            other => panic!("this check does not know the type {other}"),
        },
        other => panic!("{other} is no type"),
    }
}
