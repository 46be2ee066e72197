"""How TLS is spoken to Redis."""

import ssl
from typing import Final

from service.errors import ConfigurationError
from service.fleet.address import TlsTerms

_CERT_REQS: Final = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


def tls_context(terms: TlsTerms) -> ssl.SSLContext:
    """How TLS is spoken.

    Raises:
        ConfigurationError: A file that it needs cannot be read.
    """
    context = ssl.create_default_context()
    context.check_hostname = terms.check_hostname
    context.verify_mode = _CERT_REQS[terms.cert_reqs]
    if terms.ca_certs:
        try:
            context.load_verify_locations(terms.ca_certs)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"REDIS_URL: ssl_ca_certs {terms.ca_certs} cannot be read: {_why(error)}"
            ) from None
    if terms.certfile or terms.keyfile:
        try:
            # A key with a passphrase would ask for it on the terminal.
            context.load_cert_chain(terms.certfile or terms.keyfile or "", terms.keyfile, password="")
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(one for one in (terms.certfile, terms.keyfile) if one)
            raise ConfigurationError(f"REDIS_URL: the certificate {files} cannot be read: {_why(error)}") from None
    return context


def _why(error: OSError) -> str:
    return error.strerror or "it is no such file in PEM"
