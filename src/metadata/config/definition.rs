//! What a config is: its name, type, default and rule; reading a value and refusing a bad one in Kafka's words.

use std::fmt;

#[cfg(test)]
mod tests;

/// The type of a config, with its number in DescribeConfigs replies (KIP-569).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// A name this broker does not know; its value is never shown.
    Unknown = 0,
    /// `true` or `false`, in any case.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A floating-point number.
    Double = 6,
    /// Texts between commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A secret: its value is never shown.
    Password = 9,
}

impl ConfigType {
    /// The type's number in DescribeConfigs replies.
    pub fn code(self) -> i8 {
        self as i8
    }

    /// Whether values of this type are kept from replies and logs.
    pub fn is_sensitive(self) -> bool {
        matches!(self, ConfigType::Password | ConfigType::Unknown)
    }

    fn name(self) -> &'static str {
        match self {
            ConfigType::Unknown => "UNKNOWN",
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }

    /// The whole numbers the type holds, if it holds whole numbers.
    fn range(self) -> Option<(i64, i64)> {
        match self {
            ConfigType::Short => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
            ConfigType::Int => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            ConfigType::Long => Some((i64::MIN, i64::MAX)),
            _ => None,
        }
    }
}

/// Which values of a config's type are valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// All.
    Any,
    /// A whole number of at least this.
    AtLeast(i64),
    /// A whole number from the first to the second.
    Between(i64, i64),
    /// A whole number from the first to the second, or the third.
    BetweenOr(i64, i64, i64),
    /// A fraction from 0 to this.
    FractionUpTo(f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of these texts alone.
    EachOneOf(&'static [&'static str]),
    /// A list of these texts alone, with the second among them, which cannot be turned off.
    EachOneOfAlways(&'static [&'static str], &'static str),
    /// A text or list that is not empty.
    NotEmpty,
    /// `*`, or a list of `partition:broker`.
    ThrottledReplicas,
    /// `latest`, `earliest`, or `by_duration:` and an ISO 8601 duration (KIP-1106).
    OffsetReset,
}

/// A value, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a boolean.
    Boolean(bool),
    /// Of a short, an int or a long.
    Whole(i64),
    /// Of a double.
    Double(f64),
    /// Of a string, a class or a password, without the blanks around it.
    Text(String),
    /// Of a list, without blanks around and repeats of its items.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// As Kafka prints the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Whole(value) => write!(f, "{value}"),
            Value::Double(value) => f.write_str(&java_double(*value)),
            Value::Text(value) => f.write_str(value),
            Value::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// A double as Java prints it: decimal from a thousandth to ten million, with an exponent otherwise.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) || !value.is_finite() {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}

/// Whether and how a broker config can be changed while the broker runs (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Only in the broker's own configuration, at start.
    ReadOnly,
    /// For one broker alone.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// A config.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Its default as Kafka prints it; `None` where Kafka has none or prints null.
    pub default: Option<&'static str>,
    /// Which values are valid.
    pub rule: Rule,
    /// Whether it can be changed at run time.
    pub update: UpdateMode,
    /// What it does, in a sentence or two.
    pub documentation: &'static str,
}

impl Definition {
    /// Reads and checks `text`.
    ///
    /// # Errors
    /// Kafka's sentence, such as `Invalid value x for configuration retention.ms: Not a number of type LONG`.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = read(self.kind, text).map_err(|reason| self.invalid(text, &reason))?;
        self.check(&value)?;
        Ok(value)
    }

    /// The default, read. `None` where there is none.
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| read(self.kind, text).expect("defaults are of their type, as a test shows"))
    }

    fn invalid(&self, value: impl fmt::Display, reason: &str) -> String {
        format!("Invalid value {value} for configuration {}: {reason}", self.name)
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        match (self.rule, value) {
            (Rule::AtLeast(low), Value::Whole(number)) => self.check_range(*number, low, i64::MAX),
            (Rule::Between(low, high), Value::Whole(number)) => self.check_range(*number, low, high),
            (Rule::BetweenOr(low, high, other), Value::Whole(number)) => {
                if (low..=high).contains(number) || *number == other {
                    return Ok(());
                }
                let reason = format!("Value must be between {low} and {high} or equal to {other}");
                Err(self.invalid(number, &reason))
            }
            (Rule::FractionUpTo(high), Value::Double(number)) => self.check_fraction(*number, high),
            (Rule::OneOf(words), Value::Text(text)) => self.check_word(text, words),
            (Rule::OneOfAnyCase(words), Value::Text(text)) => {
                if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
                    return Ok(());
                }
                let reason = format!("String must be one of (case insensitive): {}", words.join(", "));
                Err(self.invalid(text, &reason))
            }
            (Rule::EachOneOf(words), Value::List(items)) => {
                items.iter().try_for_each(|item| self.check_word(item, words))
            }
            (Rule::EachOneOfAlways(words, always), Value::List(items)) => {
                items.iter().try_for_each(|item| self.check_word(item, words))?;
                if items.iter().any(|item| item == always) {
                    return Ok(());
                }
                Err(self.invalid(value, &format!("Disabling '{always}' is not supported")))
            }
            (Rule::NotEmpty, Value::Text(text)) if text.is_empty() => {
                Err(self.invalid(text, "String must be non-empty"))
            }
            (Rule::NotEmpty, Value::List(items)) if items.is_empty() => {
                Err(self.invalid("[]", "List must be non-empty"))
            }
            (Rule::ThrottledReplicas, Value::List(items)) => self.check_throttled_replicas(items),
            (Rule::OffsetReset, Value::Text(text)) => self.check_offset_reset(text),
            _ => Ok(()),
        }
    }

    fn check_range(&self, number: i64, low: i64, high: i64) -> Result<(), String> {
        if number < low {
            return Err(self.invalid(number, &format!("Value must be at least {low}")));
        }
        if number > high {
            return Err(self.invalid(number, &format!("Value must be no more than {high}")));
        }
        Ok(())
    }

    fn check_fraction(&self, number: f64, high: f64) -> Result<(), String> {
        if number < 0.0 {
            return Err(self.invalid(java_double(number), "Value must be at least 0"));
        }
        if number > high {
            return Err(self.invalid(java_double(number), &format!("Value must be no more than {high}")));
        }
        Ok(())
    }

    fn check_word(&self, text: &str, words: &[&str]) -> Result<(), String> {
        if words.contains(&text) {
            return Ok(());
        }
        Err(self.invalid(text, &format!("String must be one of: {}", words.join(", "))))
    }

    fn check_offset_reset(&self, text: &str) -> Result<(), String> {
        let by_duration = text.strip_prefix("by_duration:").is_some_and(is_duration);
        if by_duration || matches!(text, "latest" | "earliest") {
            return Ok(());
        }
        let reason = format!(
            "Invalid value `{text}` for configuration {}. The value must be either 'earliest', 'latest' or of the format \
             'by_duration:<PnDTnHnMn.nS>'.",
            self.name
        );
        Err(self.invalid(text, &reason))
    }

    fn check_throttled_replicas(&self, items: &[String]) -> Result<(), String> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_replica = |item: &String| {
            item.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
        };
        if matches!(items, [only] if only == "*") || items.iter().all(is_replica) {
            return Ok(());
        }
        let reason = format!(
            "{} must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],...",
            self.name
        );
        Err(self.invalid(format_args!("[{}]", items.join(", ")), &reason))
    }
}

/// Whether a text is a duration of days, hours, minutes and seconds that Java reads and that is not negative.
fn is_duration(text: &str) -> bool {
    let is_number = |number: &str, fraction: bool| {
        let (whole, rest) = number.split_once('.').filter(|_| fraction).unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits(whole) && digits(rest) && whole.len() <= DURATION_DIGITS_MAX && rest.len() <= 9
    };
    let upper = text.to_ascii_uppercase();
    let Some(rest) = upper.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let days_fit = days.is_empty() || days.strip_suffix('D').is_some_and(|number| is_number(number, false));
    let Some(mut time) = time else { return days_fit && !days.is_empty() };
    if time.is_empty() {
        return false;
    }
    for (unit, fraction) in [('H', false), ('M', false), ('S', true)] {
        let Some((number, rest)) = time.split_once(unit) else { continue };
        if !is_number(number, fraction) {
            return false;
        }
        time = rest;
    }
    days_fit && time.is_empty()
}

/// Digits of a duration's number at most: more than any time that a log has, and far from what Java refuses.
const DURATION_DIGITS_MAX: usize = 12;

/// Reads a value of type `kind`; the error says what is wrong with it.
fn read(kind: ConfigType, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let not_a_number = || format!("Not a number of type {}", kind.name());
    if let Some((low, high)) = kind.range() {
        let number = trimmed.parse::<i64>().ok().filter(|number| (low..=high).contains(number));
        return number.map(Value::Whole).ok_or_else(not_a_number);
    }
    match kind {
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        ConfigType::Boolean if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        ConfigType::Boolean => Err("Expected value to be either true or false".to_owned()),
        ConfigType::Double => {
            let number = trimmed.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::Double).ok_or_else(not_a_number)
        }
        ConfigType::List => Ok(Value::List(split_list(trimmed))),
        _ => Ok(Value::Text(trimmed.to_owned())),
    }
}

/// The items of a list, each once: Kafka drops repeats.
pub fn split_list(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    if text.trim().is_empty() {
        return items;
    }
    for item in text.split(',').map(str::trim) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}
