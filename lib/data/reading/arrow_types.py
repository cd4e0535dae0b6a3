"""Arrow types as results keep them."""

import pyarrow as pa

_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def settled(kind: pa.DataType) -> pa.DataType:
    """A type that can be written, filtered and taken from: views, dictionaries and runs as what they stand for."""
    types = pa.types
    if not kind.num_fields and not types.is_dictionary(kind) and not types.is_run_end_encoded(kind):
        return _PLAIN.get(kind, kind)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return settled(kind.value_type)
    if types.is_fixed_size_list(kind):
        return pa.list_(settled(kind.value_type), kind.list_size)
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(settled(kind.value_type))
    if types.is_list(kind) or types.is_list_view(kind):
        return pa.list_(settled(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(settled(field.type)) for field in kind])
    return kind


def settle(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column in its settled type."""
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowNotImplementedError:  # views and what holds them have few casts yet
        return pa.array(column.to_pylist(), kind)
