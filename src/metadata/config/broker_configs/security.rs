//! TLS, SASL, authorization and delegation tokens.

use crate::metadata::config::definition::ConfigType::{
    Boolean, Class, Double, Int, List, Long, Password, Short, String,
};
use crate::metadata::config::definition::Definition;
use crate::metadata::config::definition::Rule::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::metadata::config::definition::UpdateMode::{PerBroker, ReadOnly};

super::definitions! {
    "authorizer.class.name", String, Some(""), Any, ReadOnly =>
        "Java class that decides who may do what. No effect here.";
    "connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0), ReadOnly =>
        "How long a connection is kept open after it failed to authenticate, which slows guessing down.";
    "connections.max.reauth.ms", Long, Some("0"), Any, ReadOnly =>
        "Longest time a connection lives on one authentication; 0 sets no bound.";
    "delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1), ReadOnly =>
        "Pause between two searches for expired delegation tokens.";
    "delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1), ReadOnly =>
        "How long a delegation token is valid before it must be renewed.";
    "delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1), ReadOnly =>
        "How long a delegation token can be renewed at all.";
    "delegation.token.secret.key", Password, None, Any, ReadOnly =>
        "Secret from which delegation tokens are made; the same on every node.";
    "principal.builder.class", Class,
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"), Any, PerBroker =>
        "Java class that derives a client's identity from its connection. No effect here.";
    "sasl.client.callback.handler.class", Class, None, Any, ReadOnly =>
        "Java class that gives SASL clients their credentials. No effect here.";
    "sasl.enabled.mechanisms", List, Some("GSSAPI"), Any, PerBroker =>
        "SASL mechanisms that clients may use.";
    "sasl.jaas.config", Password, None, Any, PerBroker =>
        "Login of a SASL mechanism in the format of JAAS.";
    "sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit"), Any, PerBroker =>
        "Command that gets Kerberos tickets.";
    "sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any, PerBroker =>
        "Shortest time between two Kerberos logins.";
    "sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), Any, PerBroker =>
        "Rules that turn Kerberos principals into user names, the first that fits winning.";
    "sasl.kerberos.service.name", String, None, Any, PerBroker =>
        "Kerberos name of the service.";
    "sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any, PerBroker =>
        "Random part of the time after which a Kerberos ticket is renewed.";
    "sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any, PerBroker =>
        "Part of a Kerberos ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class", Class, None, Any, ReadOnly =>
        "Java class that gives a SASL login its credentials. No effect here.";
    "sasl.login.class", Class, None, Any, ReadOnly =>
        "Java class that logs in for SASL. No effect here.";
    "sasl.login.connect.timeout.ms", Int, None, Any, ReadOnly =>
        "How long a login waits for a connection to the identity provider.";
    "sasl.login.read.timeout.ms", Int, None, Any, ReadOnly =>
        "How long a login waits for an answer of the identity provider.";
    "sasl.login.refresh.buffer.seconds", Short, Some("300"), Any, PerBroker =>
        "Time before a credential's end by which it is renewed.";
    "sasl.login.refresh.min.period.seconds", Short, Some("60"), Any, PerBroker =>
        "Shortest time between two renewals of a credential.";
    "sasl.login.refresh.window.factor", Double, Some("0.8"), Any, PerBroker =>
        "Part of a credential's life after which it is renewed.";
    "sasl.login.refresh.window.jitter", Double, Some("0.05"), Any, PerBroker =>
        "Random part of the time after which a credential is renewed.";
    "sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly =>
        "Longest pause between two tries to log in with the identity provider.";
    "sasl.login.retry.backoff.ms", Long, Some("100"), Any, ReadOnly =>
        "First pause between two tries to log in with the identity provider.";
    "sasl.mechanism.controller.protocol", String, Some("GSSAPI"), Any, ReadOnly =>
        "SASL mechanism between brokers and controllers.";
    "sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI"), Any, PerBroker =>
        "SASL mechanism between brokers.";
    "sasl.oauthbearer.assertion.algorithm", String, Some("RS256"), OneOfAnyCase(&["ES256", "RS256"]), ReadOnly =>
        "Algorithm that signs the assertions with which OAuth tokens are asked for.";
    "sasl.oauthbearer.assertion.claim.aud", String, None, Any, ReadOnly =>
        "Audience named in assertions.";
    "sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"), Between(0, 86400), ReadOnly =>
        "How long an assertion is valid.";
    "sasl.oauthbearer.assertion.claim.iss", String, None, Any, ReadOnly =>
        "Issuer named in assertions.";
    "sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), Any, ReadOnly =>
        "Whether each assertion carries an id of its own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"), Between(0, 3600), ReadOnly =>
        "How far before its making an assertion is valid already, for clocks that differ.";
    "sasl.oauthbearer.assertion.claim.sub", String, None, Any, ReadOnly =>
        "Subject named in assertions.";
    "sasl.oauthbearer.assertion.file", String, None, Any, ReadOnly =>
        "File with an assertion made elsewhere.";
    "sasl.oauthbearer.assertion.private.key.file", String, None, Any, ReadOnly =>
        "File with the key that signs assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Any, ReadOnly =>
        "Passphrase of the key that signs assertions.";
    "sasl.oauthbearer.assertion.template.file", String, None, Any, ReadOnly =>
        "File with further headers and claims of assertions.";
    "sasl.oauthbearer.client.credentials.client.id", String, None, Any, ReadOnly =>
        "Client id with which OAuth tokens are asked for.";
    "sasl.oauthbearer.client.credentials.client.secret", Password, None, Any, ReadOnly =>
        "Client secret with which OAuth tokens are asked for.";
    "sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any, ReadOnly =>
        "How far the clocks of identity provider and broker may differ.";
    "sasl.oauthbearer.expected.audience", List, Some(""), Any, ReadOnly =>
        "Audiences of which an OAuth token must name one.";
    "sasl.oauthbearer.expected.issuer", String, None, Any, ReadOnly =>
        "Issuer that an OAuth token must name.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any, ReadOnly =>
        "Pause between two fetches of the identity provider's keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly =>
        "Longest pause between two tries to fetch the identity provider's keys.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any, ReadOnly =>
        "First pause between two tries to fetch the identity provider's keys.";
    "sasl.oauthbearer.jwks.endpoint.url", String, None, Any, ReadOnly =>
        "Where the identity provider's keys are found.";
    "sasl.oauthbearer.jwt.retriever.class", Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"), Any, ReadOnly =>
        "Java class that gets OAuth tokens. No effect here.";
    "sasl.oauthbearer.jwt.validator.class", Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"), Any, ReadOnly =>
        "Java class that checks OAuth tokens. No effect here.";
    "sasl.oauthbearer.scope", String, None, Any, ReadOnly =>
        "Scope that is asked for with OAuth tokens.";
    "sasl.oauthbearer.scope.claim.name", String, Some("scope"), Any, ReadOnly =>
        "Name of the claim that holds a token's scope.";
    "sasl.oauthbearer.sub.claim.name", String, Some("sub"), Any, ReadOnly =>
        "Name of the claim that holds a token's subject.";
    "sasl.oauthbearer.token.endpoint.url", String, None, Any, ReadOnly =>
        "Where OAuth tokens are asked for.";
    "sasl.server.callback.handler.class", Class, None, Any, ReadOnly =>
        "Java class that checks SASL credentials. No effect here.";
    "sasl.server.max.receive.size", Int, Some("524288"), Any, ReadOnly =>
        "Most bytes a client may send before it is authenticated.";
    "security.inter.broker.protocol", String,
        Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly =>
        "Security protocol between brokers, where no listener is named for it.";
    "security.providers", String, None, Any, ReadOnly =>
        "Java classes that provide algorithms. No effect here.";
    "ssl.allow.dn.changes", Boolean, Some("false"), Any, ReadOnly =>
        "Whether a certificate may be replaced by one with another distinguished name at run time.";
    "ssl.allow.san.changes", Boolean, Some("false"), Any, ReadOnly =>
        "Whether a certificate may be replaced by one with other alternative names at run time.";
    "ssl.cipher.suites", List, Some(""), Any, PerBroker =>
        "TLS cipher suites allowed; empty allows all that are supported.";
    "ssl.client.auth", String, Some("none"), OneOf(&["required", "requested", "none"]), PerBroker =>
        "Whether clients must, may or need not show a certificate.";
    "ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Any, PerBroker =>
        "TLS versions allowed.";
    "ssl.endpoint.identification.algorithm", String, Some("https"), Any, PerBroker =>
        "How the name of a server is checked against its certificate; empty does not check.";
    "ssl.engine.factory.class", Class, None, Any, PerBroker =>
        "Java class that makes TLS engines. No effect here.";
    "ssl.key.password", Password, None, Any, PerBroker =>
        "Password of the private key.";
    "ssl.keymanager.algorithm", String, Some("SunX509"), Any, PerBroker =>
        "Algorithm of the Java key manager. No effect here.";
    "ssl.keystore.certificate.chain", Password, None, Any, PerBroker =>
        "Certificates that the broker shows, in the format of ssl.keystore.type.";
    "ssl.keystore.key", Password, None, Any, PerBroker =>
        "Private key of the broker, in the format of ssl.keystore.type.";
    "ssl.keystore.location", String, None, Any, PerBroker =>
        "File with the broker's key and certificates.";
    "ssl.keystore.password", Password, None, Any, PerBroker =>
        "Password of the file with the broker's key and certificates.";
    "ssl.keystore.type", String, Some("JKS"), Any, PerBroker =>
        "Format of the file with the broker's key and certificates: JKS, PKCS12 or PEM.";
    "ssl.principal.mapping.rules", String, Some("DEFAULT"), Any, ReadOnly =>
        "Rules that turn the names in client certificates into user names, the first that fits winning.";
    "ssl.protocol", String, Some("TLSv1.3"), Any, PerBroker =>
        "TLS version to begin with.";
    "ssl.provider", String, None, Any, PerBroker =>
        "Java provider of TLS. No effect here.";
    "ssl.secure.random.implementation", String, None, Any, PerBroker =>
        "Java source of random numbers for TLS. No effect here.";
    "ssl.trustmanager.algorithm", String, Some("PKIX"), Any, PerBroker =>
        "Algorithm of the Java trust manager. No effect here.";
    "ssl.truststore.certificates", Password, None, Any, PerBroker =>
        "Certificates that are trusted, in the format of ssl.truststore.type.";
    "ssl.truststore.location", String, None, Any, PerBroker =>
        "File with the certificates that are trusted.";
    "ssl.truststore.password", Password, None, Any, PerBroker =>
        "Password of the file with the certificates that are trusted.";
    "ssl.truststore.type", String, Some("JKS"), Any, PerBroker =>
        "Format of the file with the certificates that are trusted: JKS, PKCS12 or PEM.";
}
