"""Generated songs for the commands that read a catalogue."""

from generated import entries as entries, manifest as manifest
