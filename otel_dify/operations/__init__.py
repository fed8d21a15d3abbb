"""Operations: the life of one, the current one, errors and values."""
