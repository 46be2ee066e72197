"""What a command needs that calls a running service."""

from pydantic import SecretStr

from service.settings.base import SettingsGroup


class ClientSettings(SettingsGroup):
    """Settings of a caller; no replica reads them."""

    admin_key: SecretStr | None = None
    """One of the service's `ADMIN_KEYS`."""
