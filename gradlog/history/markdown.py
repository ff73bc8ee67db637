"""Markdown, as TensorBoard's Text tab shows it."""


def escaped(text: str) -> str:
    """Returns a text with Markdown and HTML escaped: the name of a layer can contain anything.

    Example:
    >>> escaped("a_b")
    'a&#95;b'
    """
    return "".join(f"&#{ord(character)};" if character in "*_`[]<>&|\\" else character for character in text)
