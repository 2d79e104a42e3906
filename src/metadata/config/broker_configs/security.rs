//! TLS, SASL, authorization and delegation tokens.

use crate::metadata::config::definition::ConfigType::{
    Boolean, Class, Double, Int, List, Long, Password, Short, String,
};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::metadata::config::definition::UpdateMode::{PerBroker, ReadOnly};

super::definitions! {
    "authorizer.class.name", String, Some(""), Any, ReadOnly =>
        "";
    "connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0), ReadOnly =>
        "";
    "connections.max.reauth.ms", Long, Some("0"), Any, ReadOnly =>
        "";
    "delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1), ReadOnly =>
        "";
    "delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1), ReadOnly =>
        "";
    "delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1), ReadOnly =>
        "";
    "delegation.token.secret.key", Password, None, Any, ReadOnly =>
        "";
    "principal.builder.class", Class,
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"), Any, PerBroker =>
        "";
    "sasl.client.callback.handler.class", Class, None, Any, ReadOnly =>
        "";
    "sasl.enabled.mechanisms", List, Some("GSSAPI"), Any, PerBroker =>
        "";
    "sasl.jaas.config", Password, None, Any, PerBroker =>
        "";
    "sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit"), Any, PerBroker =>
        "";
    "sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any, PerBroker =>
        "";
    "sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), Any, PerBroker =>
        "";
    "sasl.kerberos.service.name", String, None, Any, PerBroker =>
        "";
    "sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any, PerBroker =>
        "";
    "sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any, PerBroker =>
        "";
    "sasl.login.callback.handler.class", Class, None, Any, ReadOnly =>
        "";
    "sasl.login.class", Class, None, Any, ReadOnly =>
        "";
    "sasl.login.connect.timeout.ms", Int, None, Any, ReadOnly =>
        "";
    "sasl.login.read.timeout.ms", Int, None, Any, ReadOnly =>
        "";
    "sasl.login.refresh.buffer.seconds", Short, Some("300"), Any, PerBroker =>
        "";
    "sasl.login.refresh.min.period.seconds", Short, Some("60"), Any, PerBroker =>
        "";
    "sasl.login.refresh.window.factor", Double, Some("0.8"), Any, PerBroker =>
        "";
    "sasl.login.refresh.window.jitter", Double, Some("0.05"), Any, PerBroker =>
        "";
    "sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly =>
        "";
    "sasl.login.retry.backoff.ms", Long, Some("100"), Any, ReadOnly =>
        "";
    "sasl.mechanism.controller.protocol", String, Some("GSSAPI"), Any, ReadOnly =>
        "";
    "sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI"), Any, PerBroker =>
        "";
    "sasl.oauthbearer.assertion.algorithm", String, Some("RS256"), OneOfAnyCase(&["ES256", "RS256"]), ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.aud", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"), Between(0, 86400), ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.iss", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"), Between(0, 3600), ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.claim.sub", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.file", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.private.key.file", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.assertion.template.file", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.client.credentials.client.id", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.client.credentials.client.secret", Password, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.expected.audience", List, Some(""), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.expected.issuer", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwks.endpoint.url", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwt.retriever.class", Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.jwt.validator.class", Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.scope", String, None, Any, ReadOnly =>
        "";
    "sasl.oauthbearer.scope.claim.name", String, Some("scope"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.sub.claim.name", String, Some("sub"), Any, ReadOnly =>
        "";
    "sasl.oauthbearer.token.endpoint.url", String, None, Any, ReadOnly =>
        "";
    "sasl.server.callback.handler.class", Class, None, Any, ReadOnly =>
        "";
    "sasl.server.max.receive.size", Int, Some("524288"), Any, ReadOnly =>
        "";
    "security.inter.broker.protocol", String,
        Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly =>
        "";
    "security.providers", String, None, Any, ReadOnly =>
        "";
    "ssl.allow.dn.changes", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "ssl.allow.san.changes", Boolean, Some("false"), Any, ReadOnly =>
        "";
    "ssl.cipher.suites", List, Some(""), Any, PerBroker =>
        "";
    "ssl.client.auth", String, Some("none"), OneOf(&["required", "requested", "none"]), PerBroker =>
        "";
    "ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Any, PerBroker =>
        "";
    "ssl.endpoint.identification.algorithm", String, Some("https"), Any, PerBroker =>
        "";
    "ssl.engine.factory.class", Class, None, Any, PerBroker =>
        "";
    "ssl.key.password", Password, None, Any, PerBroker =>
        "";
    "ssl.keymanager.algorithm", String, Some("SunX509"), Any, PerBroker =>
        "";
    "ssl.keystore.certificate.chain", Password, None, Any, PerBroker =>
        "";
    "ssl.keystore.key", Password, None, Any, PerBroker =>
        "";
    "ssl.keystore.location", String, None, Any, PerBroker =>
        "";
    "ssl.keystore.password", Password, None, Any, PerBroker =>
        "";
    "ssl.keystore.type", String, Some("JKS"), Any, PerBroker =>
        "";
    "ssl.principal.mapping.rules", String, Some("DEFAULT"), Any, ReadOnly =>
        "";
    "ssl.protocol", String, Some("TLSv1.3"), Any, PerBroker =>
        "";
    "ssl.provider", String, None, Any, PerBroker =>
        "";
    "ssl.secure.random.implementation", String, None, Any, PerBroker =>
        "";
    "ssl.trustmanager.algorithm", String, Some("PKIX"), Any, PerBroker =>
        "";
    "ssl.truststore.certificates", Password, None, Any, PerBroker =>
        "";
    "ssl.truststore.location", String, None, Any, PerBroker =>
        "";
    "ssl.truststore.password", Password, None, Any, PerBroker =>
        "";
    "ssl.truststore.type", String, Some("JKS"), Any, PerBroker =>
        "";
}
