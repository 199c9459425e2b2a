"""What runs for months beside the machines: many machines, MQTT in and out, and nothing lost when the plug is pulled.

`gateway.Gateway` is the whole of it: messages -> readings -> one `update_many` for each bundle -> alerts -> store -> out.
"""
