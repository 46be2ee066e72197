"""Takes DATA_DIR for a replica, and says at the start if that cannot be done."""

from contextlib import ExitStack

import structlog

from service.errors import ConfigurationError
from service.files.private import FolderInUse, FolderLock, check_writable
from service.settings import Settings

_log = structlog.stdlib.get_logger(__name__)


def open_data_dir(settings: Settings) -> ExitStack:
    """Hold DATA_DIR for an embedded replica until the stack is closed, and log if nothing can be written there.

    Replicas with Redis keep only copies there, each in files of its own, and may share the folder.

    Raises:
        ConfigurationError: Another embedded replica has it.
    """
    stack = ExitStack()
    data_dir, is_embedded = settings.data_dir, settings.redis_url is None
    try:
        check_writable(data_dir)
        if is_embedded:
            stack.callback(FolderLock(data_dir).release)
    except FolderInUse:
        raise ConfigurationError(
            f"DATA_DIR: another embedded replica uses {data_dir}. Several replicas need REDIS_URL. With a DATA_DIR each"
            " and without Redis, each would spend the whole PERSONALIZE_TPS"
        ) from None
    except OSError as error:
        lost = "large catalogues and those in S3 cannot be read"
        _log.error(
            "data_dir_unusable",
            data_dir=str(data_dir),
            problem=error.strerror or str(error),
            lost=f"blocked items, batch lists and events cannot be kept, and {lost}" if is_embedded else lost,
            remedy="name a folder in DATA_DIR that this user may write, on a volume that outlives the container",
        )
    return stack
