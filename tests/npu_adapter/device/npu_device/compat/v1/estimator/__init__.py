"""Operations, and what stands around them."""
