%% SPDX-License-Identifier: Apache-2.0
%% @doc Other nodes for suites: this VM becomes a node for as long as a suite
%% wants that, and peers are started beside it on 127.0.0.1.
%%
%% A peer is told what to do over its standard input and output (`call/4'), so that
%% works also where the distribution between the two does not.  Whoever starts one
%% stops it; it ends with this VM in any case.
-module(py_peers).

-export([begin_node/0, end_node/1, start/0, start/1, start_bare/0, start_bare/1]).
-export([stop/1, kill/1, hang/1, go_on/1, call/4, cut/1]).

-export_type([peer/0, before/0]).

-define(BOOT_MS, 60000).
-define(CALL_MS, 60000).
-define(HOST, "127.0.0.1").
-define(EPMD_PORT, 4369).

-type peer() :: #{control := pid(), node := node(), os_pid := string()}.
-type before() :: alive | {not_alive, Epmd :: ours | theirs}.

%% Let this VM be a node, which listens on the loopback interface only, as does the
%% port mapper if there was none; what `end_node/1' wants.
-spec begin_node() -> before().
begin_node() ->
    case is_alive() of
        true ->
            alive;
        false ->
            Epmd = begin_epmd(),
            ok = application:set_env(kernel, inet_dist_use_interface, {127, 0, 0, 1}),
            {ok, _} = net_kernel:start(name("ct"), #{name_domain => longnames}),
            {not_alive, Epmd}
    end.

begin_epmd() ->
    case has_epmd() of
        true ->
            theirs;
        false ->
            %% It says that it has begun before it listens.
            _ = epmd("-daemon"),
            ok = py_ct:eventually(fun has_epmd/0),
            ours
    end.

has_epmd() ->
    case gen_tcp:connect({127, 0, 0, 1}, ?EPMD_PORT, []) of
        {ok, Socket} -> ok =:= gen_tcp:close(Socket);
        {error, econnrefused} -> false
    end.

epmd(What) ->
    os:cmd(os:find_executable("epmd") ++ " -address " ++ ?HOST ++ " " ++ What).

%% And no longer, if it was none before.
-spec end_node(before()) -> ok.
end_node(alive) ->
    ok;
end_node({not_alive, Epmd}) ->
    ok = net_kernel:stop(),
    ok = application:unset_env(kernel, inet_dist_use_interface),
    ok = end_epmd(Epmd).

%% It ends when the last node is gone.
end_epmd(theirs) -> ok;
end_epmd(ours) -> py_ct:eventually(fun() -> lists:prefix("Killed", epmd("-kill")) end).

name(What) ->
    Unique = integer_to_list(erlang:unique_integer([positive])),
    list_to_atom("terrarium_" ++ What ++ "_" ++ os:getpid() ++ "_" ++ Unique ++ "@" ++ ?HOST).

%% A node with this library started, in the way of this run.
-spec start() -> peer().
start() ->
    start([{contexts, 1}]).

%% The same with these settings.
-spec start([{atom(), term()}]) -> peer().
start(Env) ->
    Peer = start_bare(),
    ok = call(Peer, py_ct, start, [Env]),
    Peer.

%% A node on which nothing is started.
-spec start_bare() -> peer().
start_bare() ->
    start_bare([P || P <- code:get_path(), not lists:prefix(code:root_dir(), P)]).

%% The same with these code paths besides those of OTP.
-spec start_bare([file:filename()]) -> peer().
start_bare(Paths) ->
    [Name, _] = string:split(atom_to_list(name("peer")), "@"),
    Args = ["-setcookie", atom_to_list(erlang:get_cookie()), "-connect_all", "false",
            "-kernel", "inet_dist_use_interface", "{127,0,0,1}",
            "-pa" | Paths],
    {ok, Control, Node} =
        peer:start(#{name => list_to_atom(Name), host => ?HOST, longnames => true, args => Args,
                     connection => standard_io, wait_boot => ?BOOT_MS}),
    #{control => Control, node => Node, os_pid => peer:call(Control, os, getpid, [], ?CALL_MS)}.

%% The end of a peer, whatever state it is in.
-spec stop(peer()) -> ok.
stop(#{control := Control} = Peer) ->
    _ = is_process_alive(Control) andalso go_on(Peer),
    try
        peer:stop(Control)
    catch
        exit:_ -> ok
    end.

%% It ends without a word.
-spec kill(peer()) -> ok.
kill(Peer) -> signal("KILL", Peer).

%% It does nothing any more, with all its connections open.
-spec hang(peer()) -> ok.
hang(#{os_pid := Pid} = Peer) ->
    ok = signal("STOP", Peer),
    Threads = filelib:wildcard("/proc/" ++ Pid ++ "/task/*/stat"),
    py_ct:eventually(fun() -> lists:all(fun is_stopped/1, Threads) end).

is_stopped(Stat) ->
    case file:read_file(Stat) of
        {ok, Text} ->
            [_, <<" ", State, _/binary>>] = string:split(Text, ")", trailing),
            State =:= $T;
        {error, _} ->
            true
    end.

%% And goes on.
-spec go_on(peer()) -> ok.
go_on(Peer) -> signal("CONT", Peer).

signal(Name, #{os_pid := Pid}) ->
    _ = os:cmd("kill -" ++ Name ++ " " ++ Pid),
    ok.

%% The distribution loses the peer, which lives on.
-spec cut(peer()) -> ok.
cut(#{node := Node}) ->
    _ = erlang:disconnect_node(Node),
    ok.

%% Run this on the peer.
-spec call(peer(), module(), atom(), [term()]) -> term().
call(#{control := Control}, Module, Function, Args) ->
    peer:call(Control, Module, Function, Args, ?CALL_MS).
