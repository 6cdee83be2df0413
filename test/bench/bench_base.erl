%% SPDX-License-Identifier: Apache-2.0
%% @doc Baselines: what the machine, the VM and Python can do by themselves.
-module(bench_base).

-export([run/2, open_echo/1, echo/2]).

-define(ROUNDS, 20000).

%% @doc All baselines, from the folder of the compiled programs.
-spec run(string(), string()) -> [bench:figure()].
run(Programs, Python) ->
    lines(filename:join(Programs, "baseline"), [])
        ++ lines(Python, ["test/bench/python_only.py"])
        ++ port_echo(Programs)
        ++ port_control()
        ++ process_round_trip().

%% Lines of `name value' that a program prints.
lines(Program, Args) ->
    Port = open_port({spawn_executable, Program}, [{args, Args}, binary, exit_status, in]),
    [figure(string:split(Line, " "))
     || Line <- string:lexemes(binary_to_list(output(Port, <<>>)), "\n")].

output(Port, Acc) ->
    receive
        {Port, {data, Data}} -> output(Port, <<Acc/binary, Data/binary>>);
        {Port, {exit_status, 0}} -> Acc
    end.

figure(["memcpy", Value]) -> {memcpy, list_to_integer(Value) / 1.0e6, mb_per_s};
figure([Name, Value]) -> {list_to_atom(Name), list_to_integer(Value), ns}.

%% The safe and slow way: an external program behind a `{packet, 4}' port.
port_echo(Programs) ->
    Port = open_echo(Programs),
    Samples = [sample(fun() -> echo(Port, <<1:512>>) end) || _ <- lists:seq(1, ?ROUNDS)],
    true = port_close(Port),
    bench:percentiles(port_echo, Samples).

%% @doc A `{packet, 4}' port to a C program that sends back what it gets.
-spec open_echo(string()) -> port().
open_echo(Programs) ->
    open_port({spawn_executable, filename:join(Programs, "echo_port")}, [{packet, 4}, binary]).

%% @doc One round trip.
-spec echo(port(), binary()) -> binary().
echo(Port, Data) ->
    true = port_command(Port, Data),
    receive {Port, {data, Back}} -> Back end.

%% A command that the driver answers with one byte: the floor of every call.
port_control() ->
    {ok, Port, _} = bench_calls:port_of(py:context(1)),
    Samples = [sample(fun() -> ok = py_port:more_output(Port) end)
               || _ <- lists:seq(1, 5 * ?ROUNDS)],
    bench:percentiles(port_control, Samples).

process_round_trip() ->
    Self = self(),
    Pid = spawn_link(fun() -> bounce(Self) end),
    Samples = [sample(fun() -> Pid ! ping, receive pong -> ok end end)
               || _ <- lists:seq(1, ?ROUNDS)],
    unlink(Pid),
    exit(Pid, kill),
    bench:percentiles(beam_process, Samples).

bounce(To) ->
    receive ping -> To ! pong end,
    bounce(To).

sample(Fun) ->
    Before = erlang:monotonic_time(nanosecond),
    Fun(),
    erlang:monotonic_time(nanosecond) - Before.
