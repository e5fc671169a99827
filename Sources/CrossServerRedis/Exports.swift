// One import is enough to use a bus over Redis.
@_exported public import CrossServerBus
