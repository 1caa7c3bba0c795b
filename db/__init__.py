"""What Usher knows and decides: one module per noun, over psycopg."""
