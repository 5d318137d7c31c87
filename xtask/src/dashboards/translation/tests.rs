use serde_json::json;

use super::*;

fn translation(texts: &[(&str, &str)]) -> Translation {
    let texts = texts.iter().map(|(text, translated)| ((*text).into(), (*translated).into()));
    Translation { texts: texts.collect(), ..Translation::default() }
}

#[test]
fn texts_are_translated_and_identifiers_are_not() {
    let mut translation = translation(&[("Memory", "内存"), ("busy", "忙碌"), ("Restarts", "重启")]);
    let mut dashboard = json!({
        "uid": "Memory",
        "annotations": { "list": [{ "name": "Restarts", "iconColor": "red" }] },
        "templating": { "list": [{ "name": "Memory", "current": { "text": ["All"] } }] },
        "panels": [{
            "title": "Memory",
            "targets": [{ "expr": "Memory", "legendFormat": "{{container}} {{pod}}" }],
            "fieldConfig": { "defaults": { "mappings": [{ "options": { "1": { "text": "busy", "color": "red" } } }] } },
            "transformations": [{ "options": { "renameByName": { "Value #A": "Memory" } } }],
        }],
    });
    translation.apply(&mut dashboard);
    let expected = json!({
        "uid": "Memory",
        "annotations": { "list": [{ "name": "重启", "iconColor": "red" }] },
        "templating": { "list": [{ "name": "Memory", "current": { "text": ["All"] } }] },
        "panels": [{
            "title": "内存",
            "targets": [{ "expr": "Memory", "legendFormat": "{{container}} {{pod}}" }],
            "fieldConfig": { "defaults": { "mappings": [{ "options": { "1": { "text": "忙碌", "color": "red" } } }] } },
            "transformations": [{ "options": { "renameByName": { "Value #A": "内存" } } }],
        }],
    });
    assert_eq!(dashboard, expected);
    translation.finish(Path::new("zh.po")).unwrap();
}

#[test]
fn missing_and_unused_translations_are_errors() {
    let mut missing = translation(&[]);
    missing.apply(&mut json!({ "title": "GPU {{gpu}}" }));
    let error = missing.finish(Path::new("zh.po")).unwrap_err().to_string();
    assert!(error.contains("msgid \"GPU {{gpu}}\"\nmsgstr \"\""), "{error}");
    let error = translation(&[("old", "旧")]).finish(Path::new("zh.po")).unwrap_err().to_string();
    assert!(error.contains("\"old\""), "{error}");
}
