%% SPDX-License-Identifier: Apache-2.0
%% @doc A descriptor that is handed over to a sandboxed context can be used there,
%% and is all that it has of the network.
-module(py_sandbox_fd_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-import(py_fds, [pair/0, said/2, heard/2, closed/1, connections/2]).

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [served, nothing_else, denied, limits, strict].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {log_output, false}]),
    {ok, 1} = py:eval("1"),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = py_context:stop(element(2, py_context:new(#{policy => default}))),
    [{before, py_ct:census()} | Config].

end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:settled(proplists:get_value(before, Config)).

-define(CODE, "import erlang.reactor\n"
              "class Echo(erlang.reactor.Protocol):\n"
              "    def data_received(self, data):\n"
              "        self.write_buffer.extend(data)\n"
              "        return 'write_pending'\n"
              "    def write_ready(self):\n"
              "        if not self.write_buffer: return 'read_pending'\n"
              "        sent = self.write(bytes(self.write_buffer))\n"
              "        del self.write_buffer[:sent]\n"
              "        return 'continue' if self.write_buffer else 'read_pending'\n"
              "class Tries(Echo):\n"
              "    def data_received(self, data):\n"
              "        import socket\n"
              "        tried = []\n"
              "        for what in (lambda: socket.socket(),\n"
              "                     lambda: socket.fromfd(self.fd, socket.AF_INET,\n"
              "                                           socket.SOCK_STREAM).listen(),\n"
              "                     lambda: open('/etc/passwd')):\n"
              "            try: what(); tried.append('done')\n"
              "            except OSError: tried.append('refused')\n"
              "        return super().data_received(' '.join(tried).encode())\n").

with(Policy, Protocol, Case) ->
    {ok, Ctx} = py_reactor_context:start_link(sandboxed, auto,
                                              #{policy => Policy, setup_code => ?CODE,
                                                protocol => {'__main__', Protocol}}),
    Case(Ctx),
    true = unlink(Ctx),
    ok = py_reactor_context:stop(Ctx).

served(_) ->
    with(default, 'Echo', fun(Ctx) ->
        Pairs = [pair() || _ <- lists:seq(1, 5)],
        [ok = py_reactor_context:handoff(Ctx, Fd, #{type => tcp}) || {_, Fd} <- Pairs],
        [said(Ours, <<"hello">>) || {Ours, _} <- Pairs],
        [{First, _} | Others] = Pairs,
        ok = gen_tcp:close(First),
        connections(Ctx, 4),
        ?assertEqual({ok, 2}, py:eval(Ctx, "1 + 1")),
        py_context:eval(Ctx, "__import__('os')._exit(1)"),
        [closed(Ours) || {Ours, _} <- Others]
    end).

nothing_else(_) ->
    with(default, 'Tries', fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        ok = gen_tcp:send(Ours, <<"try">>),
        ?assertEqual(<<"refused refused refused">>, heard(Ours, 23)),
        ok = gen_tcp:close(Ours)
    end).

%% A policy can say that it is given none: the descriptor is still ours.
denied(_) ->
    [with(Policy#{deny => [fd]}, 'Echo', fun(Ctx) ->
         {Ours, Fd} = pair(),
         ?assertEqual({error, {denied, fd}}, py_reactor_context:handoff(Ctx, Fd)),
         ?assertEqual({ok, 2}, py:eval(Ctx, "1 + 1")),
         ok = py:close_fd(Fd),
         closed(Ours)
     end) || Policy <- [#{level => default}, #{level => trusted}]],
    with(#{level => default, deny => [fd], allow => [{fd, passed}]}, 'Echo', fun(Ctx) ->
        {Ours, Fd} = pair(),
        ?assertEqual({error, {denied, fd}}, py_reactor_context:handoff(Ctx, Fd)),
        ok = py:close_fd(Fd),
        closed(Ours)
    end).

%% Each takes one of the context's descriptors; too many are an error of the handoff.
limits(_) ->
    Policy = #{level => default, limits => #{open_files => 24}},
    with(Policy, 'Echo', fun(Ctx) ->
        Pairs = [pair() || _ <- lists:seq(1, 24)],
        Results = [{py_reactor_context:handoff(Ctx, Fd), Pair} || {_, Fd} = Pair <- Pairs],
        {Taken, Refused} = lists:partition(fun({R, _}) -> R =:= ok end, Results),
        ?assert(length(Taken) > 4),
        ?assert(length(Refused) > 4),
        [said(Ours, <<"hello">>) || {ok, {Ours, _}} <- Taken],
        [ok = py:close_fd(Fd) || {{error, _}, {_, Fd}} <- Refused],
        [ok = gen_tcp:close(Ours) || {_, {Ours, _}} <- Results]
    end).

%% Without threads there is no event loop: that is an error of the handoff, the
%% descriptor is still ours and the helper the same.
strict(_) ->
    Policy = #{level => strict, preload => ['erlang.reactor', 'erlang._adopt', asyncio]},
    with(Policy, 'Echo', fun(Ctx) ->
        Helper = py_ct:helper_pid(Ctx),
        {Ours, Fd} = pair(),
        ?assertEqual({error, {"RuntimeError", "can't start new thread"}},
                     py_reactor_context:handoff(Ctx, Fd)),
        ?assertEqual({ok, 2}, py:eval(Ctx, "1 + 1")),
        ?assertEqual(Helper, py_ct:helper_pid(Ctx)),
        ok = py:close_fd(Fd),
        closed(Ours)
    end).
