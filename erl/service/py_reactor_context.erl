%% SPDX-License-Identifier: Apache-2.0
%% @doc Contexts that serve descriptors: sockets and pipes that Erlang hands over, and
%% over which protocols written in Python speak (`erlang.reactor', `erlang.server').
%%
%% ```
%% {ok, Ctx} = py_reactor_context:start_link(1, auto, #{protocol => {my_app, 'Echo'}}),
%% {ok, Socket} = gen_tcp:accept(Listener),
%% {ok, Number} = inet:getfd(Socket),
%% {ok, Fd} = py:dup_fd(Number),
%% ok = gen_tcp:close(Socket),
%% ok = py_reactor_context:handoff(Ctx, Fd, #{type => tcp}).
%% '''
%% Such a context is a context like any other: `py:exec/2' and all the rest work.
%% See docs/reactor.md.
-module(py_reactor_context).

-export([start_link/2, start_link/3, handoff/2, handoff/3, stats/1, stop/1]).

-export_type([options/0, info/0, stats/0]).

-define(MAX_CONNECTIONS, 500).
-define(MAX_MS, 16#ffffffff).

-type name() :: terrarium_config:name().
-type target() :: {Module :: name(), Function :: name()}.

-type options() :: #{max_connections => pos_integer() | infinity,
                     protocol => target(), handler => target(),
                     setup_code => name(), handoff_timeout => timeout(),
                     atom() => term()}.
%% `max_connections': 500 by default; `protocol' makes the protocol of a descriptor,
%% in place of `set_protocol_factory'; `handler' is called with the descriptor
%% instead, and takes it over; `setup_code' is another name for `preload_code', which
%% each helper of the context runs before it serves; `handoff_timeout': how long a
%% handoff may take, by default `call_timeout' of the configuration.  The rest are
%% options of {@link py_context}.

-type info() :: #{protocol => target(), handler => target(), term() => term()}.
%% What Python is told of the descriptor, such as `addr', `port' and `type';
%% `protocol' and `handler' go before those of the context, and are not told.

-type stats() :: #{active_connections := non_neg_integer(),
                   total_connections := non_neg_integer(),
                   max_connections := pos_integer() | infinity,
                   refused := non_neg_integer(), failed := non_neg_integer(),
                   waiting := non_neg_integer(), restarts := non_neg_integer()}.
%% Connections that are open, of the present helper; handoffs that were taken, that
%% found the context full, that failed, and that are under way; how often the
%% context got another helper after a crash.

%% @equiv start_link(Id, Mode, #{})
-spec start_link(term(), atom()) -> {ok, py_context:context()} | {error, term()}.
start_link(Id, Mode) ->
    start_link(Id, Mode, #{}).

%% @doc Start such a context, linked to the caller, and wait until it is ready.
-spec start_link(term(), atom(), options()) -> {ok, py_context:context()} | {error, term()}.
start_link(Id, Mode, Options) when is_map(Options) ->
    case own_options(Options) of
        {ok, Own, Rest} -> start(py_context:start_link(Id, Mode, Rest), Own);
        {error, _} = Error -> Error
    end;
start_link(_, _, Options) ->
    {error, {invalid, options, Options}}.

start({ok, Context}, Own) ->
    case able(py_reactor_server:start(Context, Own), Context) of
        {ok, _} ->
            {ok, Context};
        {error, _} = Error ->
            true = unlink(Context),
            ok = py_context:stop(Context),
            receive
                {'EXIT', Context, _} -> Error
            after 0 -> Error
            end
    end;
start({error, _} = Error, _) ->
    Error.

%% A policy may forbid what takes descriptors, and gives them back.
able(ok, Context) -> py_reactor_server:connections(Context);
able({error, _} = Error, _) -> Error.

own_options(Options) ->
    Defaults = #{max_connections => ?MAX_CONNECTIONS, target => none,
                 handoff_timeout => terrarium_config:get(call_timeout)},
    try
        {Own, Rest} = maps:fold(fun option/3, {Defaults, #{}}, Options),
        {ok, Own, Rest}
    catch
        throw:{invalid, _, _} = Invalid -> {error, Invalid}
    end.

option(max_connections, N, {Own, Rest}) when is_integer(N), N > 0; N =:= infinity ->
    {Own#{max_connections := N}, Rest};
option(handoff_timeout, T, {Own, Rest}) when T =:= infinity;
                                             is_integer(T), T >= 0, T =< ?MAX_MS ->
    {Own#{handoff_timeout := T}, Rest};
option(setup_code, Code, {Own, Rest}) when not is_map_key(preload_code, Rest) ->
    {Own, Rest#{preload_code => Code}};
option(Kind, Target, {#{target := none} = Own, Rest}) when Kind =:= protocol;
                                                           Kind =:= handler ->
    {Own#{target := target(Kind, Target)}, Rest};
option(Key, Value, _) when Key =:= max_connections; Key =:= handoff_timeout;
                           Key =:= protocol; Key =:= handler; Key =:= setup_code ->
    throw({invalid, Key, Value});
option(Key, Value, {Own, Rest}) ->
    {Own, Rest#{Key => Value}}.

target(Kind, {Module, Function} = Target) ->
    case {py_prepare:text(Module), py_prepare:text(Function)} of
        {M, F} when is_binary(M), is_binary(F) -> {atom_to_binary(Kind), M, F};
        _ -> throw({invalid, Kind, Target})
    end;
target(Kind, Other) ->
    throw({invalid, Kind, Other}).

%% @equiv handoff(Context, Fd, #{})
-spec handoff(py_context:context(), pos_integer()) -> ok | {error, term()}.
handoff(Context, Fd) ->
    handoff(Context, Fd, #{}).

%% @doc Hand a descriptor over to Python.
%%
%% `ok': it is Python's, and the VM's copy, `Fd', is closed.  `{error, Reason}': it
%% is still the caller's, open as it was, and Python has none or closes it; `full':
%% the context has as many connections as it may have; `ebadf': it is not open;
%% `{denied, fd}': its policy denies descriptors.  What the protocol has sent or read
%% before it failed is sent and read.
%%
%% `Fd' is a copy from `py:dup_fd/1', and none that the VM itself uses.
-spec handoff(py_context:context(), pos_integer(), info()) -> ok | {error, term()}.
handoff(Context, Fd, Info) when is_pid(Context), is_map(Info) ->
    try
        py_fd:is_fd(Fd) orelse throw({invalid, fd, Fd}),
        {Target, Told} = told(Info),
        py_reactor_server:handoff(Context, Fd, Told, Target)
    catch
        throw:{invalid, _, _} = Invalid -> {error, Invalid}
    end;
handoff(Context, _, Info) when is_pid(Context) ->
    {error, {invalid, info, Info}};
handoff(Context, _, _) ->
    {error, {invalid, context, Context}}.

told(#{protocol := _, handler := Handler}) ->
    throw({invalid, handler, Handler});
told(#{protocol := Target} = Info) ->
    {target(protocol, Target), maps:remove(protocol, Info)};
told(#{handler := Target} = Info) ->
    {target(handler, Target), maps:remove(handler, Info)};
told(Info) ->
    {none, Info}.

%% @doc What it has to do.
-spec stats(py_context:context()) -> {ok, stats()} | {error, term()}.
stats(Context) when is_pid(Context) ->
    case py_reactor_server:stats(Context) of
        {ok, Stats} -> with_python(Context, Stats);
        {error, _} = Error -> Error
    end;
stats(Context) ->
    {error, {invalid, context, Context}}.

with_python(Context, Stats) ->
    case {py_reactor_server:connections(Context), py_context:info(Context)} of
        {{ok, N}, {ok, #{restarts := Restarts}}} ->
            {ok, Stats#{active_connections => N, restarts => Restarts}};
        {{error, _} = Error, _} ->
            Error;
        {_, {error, _} = Error} ->
            Error
    end.

%% @doc Stop the context: its connections are told, and closed.
-spec stop(py_context:context()) -> ok.
stop(Context) ->
    py_context:stop(Context).
