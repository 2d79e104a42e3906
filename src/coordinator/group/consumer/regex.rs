//! Subscriptions by regular expression (KIP-848): the topics whose whole name matches.
//!
//! The expressions are of RE2's kind, without back references and look-around, so matching takes time linear in the name
//! whatever the expression; what compiling it may take is bounded.

use std::collections::BTreeSet;

use ::regex::{Regex, RegexBuilder};

use crate::coordinator::group::records::consumer::RegularExpressionValue;
use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};

/// The longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// The most memory that a compiled expression may take, in bytes: counted repetitions multiply.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// How deep groups may nest.
const NESTING_MAX: u32 = 50;

/// Compiles an expression so that it matches whole names.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION and what is wrong with it.
pub fn compile(expression: &str) -> Result<Regex, ClientError> {
    let refused = |reason: &str| {
        let message = format!("SubscribedTopicRegex `{expression}` is not a valid regular expression: {reason}.");
        ClientError::new(ErrorCode::InvalidRegularExpression, message)
    };
    if expression.len() > EXPRESSION_BYTES_MAX {
        let message = format!("a regular expression of {} bytes, {EXPRESSION_BYTES_MAX} are allowed", expression.len());
        return Err(ClientError::new(ErrorCode::InvalidRegularExpression, message));
    }
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX);
        builder.build().map_err(|error| refused(&last_line(&error.to_string())))
    };
    let expression = &unquoted(expression);
    // By itself first, so that nothing in it can close the group that is put around it.
    build(expression)?;
    build(&format!(r"\A(?:{expression})\z"))
}

/// The expression with `\Q...\E`, which RE2 knows and this parser does not, as what it stands for.
fn unquoted(expression: &str) -> String {
    let (mut unquoted, mut rest) = (String::with_capacity(expression.len()), expression);
    while let Some(at) = rest.find('\\') {
        unquoted.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (literal, behind) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            unquoted.push_str(&::regex::escape(literal));
            rest = behind;
        } else {
            let escape = rest.chars().take(2).map(char::len_utf8).sum();
            unquoted.push_str(&rest[..escape]);
            rest = &rest[escape..];
        }
    }
    unquoted + rest
}

/// The parser shows the place over several lines and says what is wrong in the last one.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.').to_owned()
}

/// The topics of `image` that an expression matches.
///
/// # Errors
/// INVALID_REGULAR_EXPRESSION; for an expression that was stored, the caller takes it for one that matches nothing.
pub fn resolve(expression: &str, image: &Image, wall_ms: i64) -> Result<RegularExpressionValue, ClientError> {
    let compiled = compile(expression)?;
    let names = image.topics().map(|topic| &*topic.name).filter(|name| compiled.is_match(name));
    let topics: BTreeSet<String> = names.map(str::to_owned).collect();
    Ok(RegularExpressionValue { topics, version: image.offset(), timestamp_ms: wall_ms })
}
