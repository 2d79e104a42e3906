use super::*;

fn definition(kind: ConfigType, rule: Rule) -> Definition {
    Definition { name: "some.config", kind, default: None, rule, update: UpdateMode::ReadOnly, documentation: "" }
}

fn refusal(kind: ConfigType, rule: Rule, text: &str) -> String {
    let message = definition(kind, rule).parse(text).unwrap_err();
    let prefix = "Invalid value ";
    let (value, reason) = message.strip_prefix(prefix).unwrap().split_once(" for configuration some.config: ").unwrap();
    format!("{value}|{reason}")
}

fn printed(kind: ConfigType, text: &str) -> String {
    definition(kind, Rule::Any).parse(text).unwrap().to_string()
}

#[test]
fn values_are_read_as_kafka_reads_them_and_printed_as_it_prints_them() {
    assert_eq!(printed(ConfigType::Long, " +5 "), "5");
    assert_eq!(printed(ConfigType::Boolean, "TRUE"), "true");
    assert_eq!(printed(ConfigType::List, "delete, compact ,delete"), "delete,compact");
    assert_eq!(printed(ConfigType::List, " "), "");
    assert_eq!(printed(ConfigType::String, " text "), "text");
    let doubles = [("0.70", "0.7"), ("1e-3", "0.001"), ("2", "2.0"), ("0", "0.0"), ("1e-4", "1.0E-4")];
    for (text, expected) in doubles {
        assert_eq!(printed(ConfigType::Double, text), expected);
    }
    assert_eq!(printed(ConfigType::Double, "1.7976931348623157E308"), "1.7976931348623157E308");
    assert_eq!(printed(ConfigType::Double, "1e7"), "1.0E7");
    assert_eq!(printed(ConfigType::Double, "1234567.5"), "1234567.5");
}

#[test]
fn what_is_no_value_of_the_type_is_refused_with_the_text_as_given() {
    assert_eq!(refusal(ConfigType::Long, Rule::Any, "xyz"), "xyz|Not a number of type LONG");
    assert_eq!(refusal(ConfigType::Long, Rule::Any, ""), "|Not a number of type LONG");
    assert_eq!(
        refusal(ConfigType::Long, Rule::Any, "99999999999999999999"),
        "99999999999999999999|Not a number of type LONG"
    );
    assert_eq!(refusal(ConfigType::Int, Rule::Any, "3000000000"), "3000000000|Not a number of type INT");
    assert_eq!(refusal(ConfigType::Short, Rule::Any, "32768"), "32768|Not a number of type SHORT");
    assert_eq!(refusal(ConfigType::Double, Rule::Any, "abc"), "abc|Not a number of type DOUBLE");
    assert_eq!(refusal(ConfigType::Double, Rule::Any, "nan"), "nan|Not a number of type DOUBLE");
    assert_eq!(refusal(ConfigType::Boolean, Rule::Any, "maybe"), "maybe|Expected value to be either true or false");
}

#[test]
fn rules_are_told_in_kafkas_words() {
    let int = ConfigType::Int;
    assert_eq!(refusal(int, Rule::AtLeast(-1), "-5"), "-5|Value must be at least -1");
    assert_eq!(refusal(int, Rule::Between(-131_072, 22), "100"), "100|Value must be no more than 22");
    assert_eq!(refusal(int, Rule::BetweenOr(1, 9, -1), "0"), "0|Value must be between 1 and 9 or equal to -1");
    assert!(definition(int, Rule::BetweenOr(1, 9, -1)).parse("-1").is_ok());
    let fraction = Rule::FractionUpTo(1.0);
    assert_eq!(refusal(ConfigType::Double, fraction, "2"), "2.0|Value must be no more than 1");
    assert_eq!(refusal(ConfigType::Double, fraction, "-0.5"), "-0.5|Value must be at least 0");
    let words = &["compact", "delete"];
    assert_eq!(refusal(ConfigType::String, Rule::OneOf(words), "x"), "x|String must be one of: compact, delete");
    assert_eq!(
        refusal(ConfigType::List, Rule::EachOneOf(words), "delete,foo"),
        "foo|String must be one of: compact, delete"
    );
    assert!(definition(ConfigType::List, Rule::EachOneOf(words)).parse("").is_ok());
    let always = Rule::EachOneOfAlways(words, "delete");
    assert_eq!(refusal(ConfigType::List, always, "compact"), "compact|Disabling 'delete' is not supported");
    assert_eq!(refusal(ConfigType::List, always, "x,delete"), "x|String must be one of: compact, delete");
    assert!(definition(ConfigType::List, always).parse("compact,delete").is_ok());
    assert!(definition(ConfigType::String, Rule::OneOfAnyCase(words)).parse("Compact").is_ok());
    assert_eq!(
        refusal(ConfigType::String, Rule::OneOfAnyCase(words), "x"),
        "x|String must be one of (case insensitive): compact, delete"
    );
    assert_eq!(refusal(ConfigType::String, Rule::NotEmpty, ""), "|String must be non-empty");
    assert_eq!(refusal(ConfigType::List, Rule::NotEmpty, ""), "[]|List must be non-empty");
}

#[test]
fn throttled_replicas_are_a_star_or_pairs() {
    let rule = Rule::ThrottledReplicas;
    for good in ["", "*", "1:2", "1:2, 3:4"] {
        assert!(definition(ConfigType::List, rule).parse(good).is_ok(), "{good}");
    }
    for bad in ["zz", "1:", ":1", "1:2,*", "-1:2", "1:2:3"] {
        assert!(definition(ConfigType::List, rule).parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        refusal(ConfigType::List, rule, "zz"),
        "[zz]|some.config must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    );
}
