"""What schemathesis must be told of the media types in openapi.yaml."""

import schemathesis


@schemathesis.serializer("application/vnd.holdfast.audit-frames")
def audit_frames(context, value):
    """Records of an audit log are bytes as they are."""
    return value if isinstance(value, bytes) else str(value).encode()
