"""The ground everything stands on: errors, checks of arguments, files, progress bars, faces of folders."""

from typing import TYPE_CHECKING

from musiclime_torch.basics.faces import lazy

if TYPE_CHECKING:
    from musiclime_torch.basics.arguments import (
        check_name as check_name,
        find_class as find_class,
        read_integer as read_integer,
    )
    from musiclime_torch.basics.errors import InputError as InputError
    from musiclime_torch.basics.faces import lazy as lazy
    from musiclime_torch.basics.files import (
        refuse_devices as refuse_devices,
        remove_partials as remove_partials,
        write_atomically as write_atomically,
        writing_atomically as writing_atomically,
    )
    from musiclime_torch.basics.progress import Bar as Bar, Forecast as Forecast, Stages as Stages, open_bar as open_bar

__getattr__, __dir__, __all__ = lazy(__name__)
